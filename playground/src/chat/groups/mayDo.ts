import type { Role } from '../../gql/graphql';

export type Deed = 'promote' | 'demote' | 'transfer' | 'remove';

/** What the viewer may do about a member: the owner everything, admins remove members and give up their own role. */
export function mayDo(viewer: Role, member: Role, isSelf: boolean): Deed[] {
  switch (viewer) {
    case 'OWNER':
      if (isSelf) return [];
      return [member === 'ADMIN' ? 'demote' : 'promote', 'transfer', 'remove'];
    case 'ADMIN':
      if (isSelf) return ['demote'];
      return member === 'MEMBER' ? ['remove'] : [];
    case 'MEMBER':
      return [];
  }
}

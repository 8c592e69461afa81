import type { ReactNode } from 'react';
import type { UserItemFragment } from '../../gql/graphql';
import { Avatar, Row } from '../ui';

export interface PersonRowProps {
  person: UserItemFragment;
  /** In place of the username. */
  subtitle?: ReactNode;
  trailing?: ReactNode;
  onPress?: () => void;
}

export const PersonRow = ({ person, subtitle, ...props }: PersonRowProps) => (
  <Row
    {...props}
    leading={<Avatar id={person.id} name={person.displayName} presence={person.presence?.status} />}
    title={<bdi>{person.displayName}</bdi>}
    subtitle={subtitle ?? `@${person.username}`}
  />
);

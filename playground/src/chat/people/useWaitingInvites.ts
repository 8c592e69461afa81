import { useQuery } from 'urql';
import { graphql } from '../../gql';

const WAITING_INVITES = graphql(`
  query WaitingInvites {
    viewer {
      id
      invites(direction: INCOMING, status: PENDING, first: 1) {
        totalCount
      }
    }
  }
`);

/** How many invites wait for the viewer's answer. */
export function useWaitingInvites(): number {
  const [{ data }] = useQuery({ query: WAITING_INVITES, requestPolicy: 'cache-and-network' });
  return data?.viewer?.invites.totalCount ?? 0;
}

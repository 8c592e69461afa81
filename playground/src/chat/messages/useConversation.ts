import { useCallback, useLayoutEffect, useMemo, useRef, useState } from 'react';
import { useQuery } from 'urql';
import { graphql } from '../../gql';
import type { ConversationQuery } from '../../gql/graphql';
import { useKith } from '../api';

const CONVERSATION = graphql(`
  query Conversation($id: ID!, $before: String, $last: Int = 40) {
    conversation(id: $id) {
      ...ConversationItem
      messages(last: $last, before: $before) {
        edges {
          cursor
          node {
            ...MessageItem
          }
        }
        pageInfo {
          hasPreviousPage
        }
      }
    }
  }
`);

type Edge = NonNullable<ConversationQuery['conversation']>['messages']['edges'][number];
const NONE: readonly Edge[] = [];

/** A conversation and as many of its messages as were asked for, oldest first. */
export function useConversation(id: string) {
  const { client } = useKith();
  const [{ data, error, fetching, stale }, execute] = useQuery({ query: CONVERSATION, variables: { id } });
  const [isLoadingOlder, setLoadingOlder] = useState(false);
  const conversation = data?.conversation;
  const edges = conversation?.messages.edges ?? NONE;
  const run = useMemo(() => upToNewest(edges), [edges]);
  const messages = useMemo(() => run.map(({ node }) => node), [run]);
  const hasOlder = run.length > 0 && (run.length < edges.length || conversation!.messages.pageInfo.hasPreviousPage);
  const latest = useRef({ hasOlder, cursor: run[0]?.cursor });
  // Before the effects of the list below, which ask for older ones.
  useLayoutEffect(() => {
    latest.current = { hasOlder, cursor: run[0]?.cursor };
  });

  const underWay = useRef<Promise<boolean> | null>(null);
  /** Asks for the page before the oldest message here; whether there was one. */
  const loadOlder = useCallback((last?: number) => {
    underWay.current ??= (async () => {
      const { hasOlder, cursor } = latest.current;
      if (!hasOlder || !cursor) return false;
      setLoadingOlder(true);
      const result = await client.query(CONVERSATION, { id, before: cursor, last }).toPromise();
      setLoadingOlder(false);
      return !result.error;
    })().finally(() => (underWay.current = null));
    return underWay.current;
  }, [client, id]);

  return {
    conversation,
    messages,
    hasOlder,
    isLoadingOlder,
    loadOlder,
    isLoading: fetching && !data,
    /** It was answered: this conversation is not there, or not for this person. */
    isMissing: data?.conversation === null && !stale && !fetching,
    error: data ? undefined : error,
    retry: () => execute({ requestPolicy: 'network-only' }),
  };
}

/** The messages without a gap before the newest. Who was away for long has one between what was read then and now, and
 *  paging back closes it. */
function upToNewest(edges: readonly Edge[]): readonly Edge[] {
  const sorted = [...edges].sort((one, other) => one.node.sequence - other.node.sequence);
  let first = sorted.length - 1;
  while (first > 0 && sorted[first - 1]!.node.sequence >= sorted[first]!.node.sequence - 1) first--;
  return sorted.slice(Math.max(first, 0));
}

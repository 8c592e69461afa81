import { useCallback, useEffect, useRef, useState } from 'react';
import { useQuery } from 'urql';
import { graphql } from '../../gql';
import type { MessageItemFragment } from '../../gql/graphql';
import { useKith } from '../api';

const CONVERSATION = graphql(`
  query Conversation($id: ID!, $before: String) {
    conversation(id: $id) {
      ...ConversationItem
      messages(last: 40, before: $before) {
        nodes {
          ...MessageItem
        }
        pageInfo {
          hasPreviousPage
          startCursor
        }
      }
    }
  }
`);

const NONE: readonly MessageItemFragment[] = [];

/** A conversation and as many of its messages as were asked for, oldest first. */
export function useConversation(id: string) {
  const { client } = useKith();
  const [{ data, error, fetching, stale }, execute] = useQuery({ query: CONVERSATION, variables: { id } });
  const [isLoadingOlder, setLoadingOlder] = useState(false);
  const conversation = data?.conversation;
  const page = conversation?.messages.pageInfo;
  const latest = useRef(page);
  useEffect(() => {
    latest.current = page;
  });

  const underWay = useRef<Promise<boolean> | null>(null);
  /** Asks for the page before the oldest message here; whether there was one. */
  const loadOlder = useCallback(() => {
    underWay.current ??= (async () => {
      const { hasPreviousPage, startCursor } = latest.current ?? {};
      if (!hasPreviousPage || !startCursor) return false;
      setLoadingOlder(true);
      const result = await client.query(CONVERSATION, { id, before: startCursor }).toPromise();
      setLoadingOlder(false);
      return !result.error;
    })().finally(() => (underWay.current = null));
    return underWay.current;
  }, [client, id]);

  return {
    conversation,
    messages: conversation?.messages.nodes ?? NONE,
    hasOlder: page?.hasPreviousPage ?? false,
    isLoadingOlder,
    loadOlder,
    isLoading: fetching && !data,
    /** It was answered: this conversation is not there, or not for this person. */
    isMissing: data?.conversation === null && !stale && !fetching,
    error: data ? undefined : error,
    retry: () => execute({ requestPolicy: 'network-only' }),
  };
}

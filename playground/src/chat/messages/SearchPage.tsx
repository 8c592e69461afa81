import { useState } from 'react';
import { useQuery } from 'urql';
import { graphql } from '../../gql';
import { conversationHash, navigate, useRoute } from '../api';
import { titleOf } from '../conversations/names';
import { BackIcon, Button, EmptyState, IconButton, inSentence, Loading, RelativeTime, SearchField, SearchIcon, Trouble } from '../ui';
import { useSettled } from './useSettled';
import styles from './SearchPage.module.css';

const SEARCH = graphql(`
  query SearchMessages($query: String!, $conversationId: ID, $after: String) {
    searchMessages(query: $query, conversationId: $conversationId, first: 20, after: $after) {
      nodes {
        id
        sequence
        body
        createdAt
        sender {
          id
          displayName
        }
        conversation {
          ...ConversationItem
        }
      }
      pageInfo {
        hasNextPage
        endCursor
      }
    }
  }
`);

const NAME = graphql(`
  query ConversationName($id: ID!) {
    conversation(id: $id) {
      ...ConversationItem
    }
  }
`);

/** What was said, found by its words: in all conversations, or in one. */
export function SearchPage() {
  const { id } = useRoute();
  const [text, setText] = useState('');
  const query = useSettled(text.trim());
  const [after, setAfter] = useState<string | null>(null);
  const conversationId = id || null;
  const [first, retry] = useQuery({ query: SEARCH, variables: { query, conversationId }, pause: query.length < 2, requestPolicy: 'cache-and-network' });
  const [more] = useQuery({ query: SEARCH, variables: { query, conversationId, after }, pause: after === null });
  const [{ data: within }] = useQuery({ query: NAME, variables: { id }, pause: !id });
  const found = query.length < 2 ? undefined : first.data?.searchMessages;

  return (
    <section aria-label="Search" className={styles.page}>
      <header className={styles.header}>
        <IconButton label="Back" className={styles.back} onPress={() => navigate(id ? conversationHash(id) : '/')}>
          <BackIcon />
        </IconButton>
        <h2 className={styles.title} dir="auto">
          {within?.conversation ? `Search: ${titleOf(within.conversation)}` : 'Search'}
        </h2>
        {id && (
          <Button kind="quiet" onPress={() => navigate('/search')}>
            Everywhere
          </Button>
        )}
      </header>
      <SearchField
        label="Search messages"
        placeholder="Words, or a “phrase”"
        autoFocus
        value={text}
        onChange={(value) => {
          setText(value);
          setAfter(null);
        }}
      />
      <div role="status" className={styles.status}>
        {found && !first.fetching && found.nodes.length === 0 && <EmptyState title="Nothing found" icon={<SearchIcon size={28} />} />}
      </div>
      {query.length < 2 && <EmptyState title="What are you looking for?" icon={<SearchIcon size={28} />}>Whole words are found, newest first.</EmptyState>}
      {first.fetching && !found && query.length >= 2 && <Loading label="Searching" />}
      {first.error && query.length >= 2 && <Trouble message={inSentence(first.error)} onRetry={() => retry({ requestPolicy: 'network-only' })} />}
      {found && found.nodes.length > 0 && (
        <ul aria-label="Found" className={styles.list}>
          {found.nodes.map((message) => (
            <li key={message.id}>
              <a href={conversationHash(message.conversation.id, message.sequence)} className={styles.item}>
                <span className={styles.line}>
                  <strong dir="auto">{message.sender.displayName}</strong>
                  <span className={styles.where} dir="auto">
                    {titleOf(message.conversation)}
                  </span>
                  <span className={styles.time}>
                    <RelativeTime at={message.createdAt} />
                  </span>
                </span>
                <span className={styles.body} dir="auto">
                  {message.body}
                </span>
              </a>
            </li>
          ))}
        </ul>
      )}
      {found?.pageInfo.hasNextPage && (
        <Button isPending={more.fetching} onPress={() => setAfter(found.pageInfo.endCursor)}>
          More
        </Button>
      )}
    </section>
  );
}

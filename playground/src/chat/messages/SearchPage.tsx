import { useEffect, useState } from 'react';
import { useQuery } from 'urql';
import { graphql } from '../../gql';
import { conversationHash, navigate, searchHash, useRoute } from '../api';
import { titleOf } from '../conversations/names';
import { BackIcon, Button, EmptyState, IconButton, Pages, RelativeTime, SearchField, SearchIcon, usePages, useSettled } from '../ui';
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
  const { id, text: begun } = useRoute();
  const [text, setText] = useState(begun);
  const query = useSettled(text.trim());
  const [{ data: within }] = useQuery({ query: NAME, variables: { id }, pause: !id });

  // Whoever comes back from what was found finds the words again.
  useEffect(() => history.replaceState(null, '', searchHash(id, query)), [id, query]);

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
          <Button kind="quiet" onPress={() => navigate(searchHash('', query))}>
            Everywhere
          </Button>
        )}
      </header>
      <SearchField label="Search messages" placeholder="Words, or a “phrase”" autoFocus value={text} onChange={setText} />
      {query.length < 2 ? (
        <EmptyState title="What are you looking for?" icon={<SearchIcon size={28} />}>
          Whole words are found, newest first.
        </EmptyState>
      ) : (
        <Results key={`${id} ${query}`} query={query} conversationId={id || null} />
      )}
    </section>
  );
}

function Results({ query, conversationId }: { query: string; conversationId: string | null }) {
  const pages = usePages(SEARCH, { query, conversationId }, ({ searchMessages: { nodes, pageInfo } }) => ({ edges: nodes, pageInfo }));
  return (
    <Pages
      pages={pages}
      label="Found"
      keyOf={({ id }) => id}
      empty={
        <div role="status">
          <EmptyState title="Nothing found" icon={<SearchIcon size={28} />} />
        </div>
      }
    >
      {(message) => (
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
      )}
    </Pages>
  );
}

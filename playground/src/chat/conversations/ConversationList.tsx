import { useEffect, useState } from 'react';
import { GridList, GridListItem, GridListLoadMoreItem } from 'react-aria-components';
import { useQuery } from 'urql';
import { graphql } from '../../gql';
import type { ConversationItemFragment } from '../../gql/graphql';
import { conversationHash, navigate, useDrafts, useMe, useTypists } from '../api';
import { CreateGroup } from '../groups';
import { Avatar, ButtonLink, ChatIcon, CountBadge, EmptyState, IconButton, classes, Menu, MenuItem, PeopleIcon, PersonAddIcon, PlusIcon, RelativeTime, SkeletonRows, Spinner, Trouble, usePages, useSettled } from '../ui';
import { inWords } from '../messages/typing';
import { avatarOf, titleOf } from './names';
import styles from './ConversationList.module.css';

const CONVERSATIONS = graphql(`
  query Conversations($after: String) {
    viewer {
      id
      conversations(first: 30, after: $after) {
        nodes {
          ...ConversationItem
        }
        pageInfo {
          hasNextPage
          endCursor
        }
      }
    }
  }
`);

const UNREAD = graphql(`
  query Unread {
    viewer {
      id
      unreadCount
    }
  }
`);

/** How many messages are unread. Those that are listed are counted here; of the others the server knows. */
export function useUnread() {
  const [{ data }] = useQuery({ query: CONVERSATIONS, variables: {} });
  const listed = data?.viewer?.conversations;
  const count = listed?.nodes.reduce((sum, { unreadCount }) => sum + unreadCount, 0) ?? 0;
  const hasMore = listed?.pageInfo.hasNextPage ?? false;
  const settled = useSettled(count);
  const [{ data: all }, refetch] = useQuery({ query: UNREAD, pause: !hasMore, requestPolicy: 'network-only' });
  useEffect(() => {
    if (hasMore) refetch({ requestPolicy: 'network-only' });
  }, [settled, hasMore, refetch]);
  return hasMore ? (all?.viewer?.unreadCount ?? count) : count;
}

export function ConversationList({ selected }: { selected: string }) {
  const { edges, error, isFetching, hasMore, showMore, refetch } = usePages(CONVERSATIONS, {}, ({ viewer }) => viewer && { ...viewer.conversations, edges: viewer.conversations.nodes });
  const [isCreating, setCreating] = useState(false);
  // Activity moves them while they are listed; where one stands follows from that.
  const sorted = [...(edges ?? [])].sort((one, other) => other.lastActivityAt.localeCompare(one.lastActivityAt));

  return (
    <section aria-label="Conversations" className={styles.section}>
      <header className={styles.header}>
        <h1 className={styles.title}>Chats</h1>
        <Menu label="Begin" trigger={<IconButton label="New conversation"><PlusIcon /></IconButton>}>
          <MenuItem label="Find people" icon={<PersonAddIcon />} onAction={() => navigate('/people')} />
          <MenuItem label="New group" icon={<PeopleIcon />} onAction={() => setCreating(true)} />
        </Menu>
      </header>
      {!edges && !error && <SkeletonRows count={6} label="Loading the conversations" />}
      {error && <Trouble message="The conversations could not be loaded." onRetry={refetch} />}
      {edges && sorted.length === 0 && (
        <EmptyState title="No conversations yet" icon={<ChatIcon size={28} />} action={<ButtonLink kind="primary" href="#/people">Find people</ButtonLink>}>
          Invite somebody you know. When they accept, your conversation is here.
        </EmptyState>
      )}
      {sorted.length > 0 && (
        <GridList
          aria-label="Conversations"
          className={styles.list ?? ''}
        >
          {sorted.map((conversation) => (
            <GridListItem
              key={conversation.id}
              id={conversation.id}
              href={conversationHash(conversation.id)}
              textValue={titleOf(conversation)}
              className={classes(styles.item, conversation.id === selected && styles.selected)}
            >
              <Row conversation={conversation} isSelected={conversation.id === selected} />
            </GridListItem>
          ))}
          {hasMore && (
            <GridListLoadMoreItem className={styles.more ?? ''} isLoading={isFetching} onLoadMore={showMore}>
              <Spinner />
            </GridListLoadMoreItem>
          )}
        </GridList>
      )}
      <CreateGroup isOpen={isCreating} onOpenChange={setCreating} />
    </section>
  );
}

function Row({ conversation, isSelected }: { conversation: ConversationItemFragment; isSelected: boolean }) {
  return (
    <div className={styles.row}>
      <Avatar {...avatarOf(conversation)} />
      <span className={styles.words}>
        <span className={styles.line}>
          <span className={styles.name} dir="auto" aria-current={isSelected || undefined}>
            {titleOf(conversation)}
          </span>
          {conversation.lastMessage && (
            <span className={styles.time}>
              <RelativeTime at={conversation.lastMessage.createdAt} />
            </span>
          )}
        </span>
        <span className={styles.line}>
          <Preview conversation={conversation} />
          <CountBadge count={conversation.unreadCount} label="unread" />
        </span>
      </span>
    </div>
  );
}

function Preview({ conversation }: { conversation: ConversationItemFragment }) {
  const me = useMe();
  const typists = useTypists(conversation.id);
  const drafts = useDrafts(conversation.id);
  if (typists.length) return <span className={styles.typing}>{inWords(typists)}</span>;
  const unsent = drafts.at(-1);
  if (unsent) return <span className={styles.preview}>{unsent.refusal ? 'Not sent: ' : 'Sending: '}{unsent.body}</span>;
  const message = conversation.lastMessage;
  if (!message) return <span className={styles.preview}>Nothing said yet</span>;
  const who = message.sender.id === me ? 'You' : conversation.__typename === 'Group' ? message.sender.displayName : '';
  return (
    <span className={styles.preview} dir="auto">
      {who && (
        <>
          <bdi>{who}</bdi>:{' '}
        </>
      )}
      {message.body ?? <em>deleted</em>}
    </span>
  );
}

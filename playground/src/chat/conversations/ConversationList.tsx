import { useState } from 'react';
import { GridList, GridListItem, GridListLoadMoreItem } from 'react-aria-components';
import { useQuery } from 'urql';
import { graphql } from '../../gql';
import type { ConversationItemFragment } from '../../gql/graphql';
import { conversationHash, navigate, useDrafts, useMe, useTypists } from '../api';
import { CreateGroup } from '../groups';
import { Avatar, ButtonLink, ChatIcon, CountBadge, EmptyState, IconButton, Menu, MenuItem, PeopleIcon, PersonAddIcon, PlusIcon, RelativeTime, SkeletonRows, Spinner, Trouble } from '../ui';
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

/** How many messages are unread in the conversations that are listed. */
export function useUnread() {
  const [{ data }] = useQuery({ query: CONVERSATIONS, variables: {} });
  return data?.viewer?.conversations.nodes.reduce((sum, { unreadCount }) => sum + unreadCount, 0) ?? 0;
}

export function ConversationList({ selected }: { selected: string }) {
  const [{ data, fetching, error }, refresh] = useQuery({ query: CONVERSATIONS, variables: {} });
  const [after, setAfter] = useState<string | null>(null);
  const [more] = useQuery({ query: CONVERSATIONS, variables: { after }, pause: after === null });
  const [isCreating, setCreating] = useState(false);
  const conversations = data?.viewer?.conversations;
  // Activity moves them while they are listed; where one stands follows from that.
  const sorted = [...(conversations?.nodes ?? [])].sort((one, other) => other.lastActivityAt.localeCompare(one.lastActivityAt));

  return (
    <section aria-label="Conversations" className={styles.section}>
      <header className={styles.header}>
        <h1 className={styles.title}>Chats</h1>
        <Menu label="Begin" trigger={<IconButton label="New conversation"><PlusIcon /></IconButton>}>
          <MenuItem label="Find people" icon={<PersonAddIcon />} onAction={() => navigate('/people')} />
          <MenuItem label="New group" icon={<PeopleIcon />} onAction={() => setCreating(true)} />
        </Menu>
      </header>
      {!conversations && fetching && <SkeletonRows count={6} label="Loading the conversations" />}
      {!conversations && error && <Trouble message="The conversations could not be loaded." onRetry={() => refresh({ requestPolicy: 'network-only' })} />}
      {conversations && sorted.length === 0 && (
        <EmptyState title="No conversations yet" icon={<ChatIcon size={28} />} action={<ButtonLink kind="primary" href="#/people">Find people</ButtonLink>}>
          Invite somebody you know. When they accept, your conversation is here.
        </EmptyState>
      )}
      {conversations && sorted.length > 0 && (
        <GridList
          aria-label="Conversations"
          className={styles.list ?? ''}
          selectionMode="single"
          selectionBehavior="replace"
          disallowEmptySelection
          selectedKeys={selected ? [selected] : []}
          onAction={(key) => navigate(conversationHash(String(key)))}
          onSelectionChange={(keys) => {
            if (keys !== 'all') for (const key of keys) navigate(conversationHash(String(key)));
          }}
        >
          {sorted.map((conversation) => (
            <GridListItem key={conversation.id} id={conversation.id} textValue={titleOf(conversation)} className={styles.item ?? ''}>
              <Row conversation={conversation} />
            </GridListItem>
          ))}
          {conversations.pageInfo.hasNextPage && (
            <GridListLoadMoreItem
              className={styles.more ?? ''}
              isLoading={more.fetching}
              onLoadMore={() => setAfter(conversations.pageInfo.endCursor)}
            >
              <Spinner />
            </GridListLoadMoreItem>
          )}
        </GridList>
      )}
      <CreateGroup isOpen={isCreating} onOpenChange={setCreating} />
    </section>
  );
}

function Row({ conversation }: { conversation: ConversationItemFragment }) {
  return (
    <div className={styles.row}>
      <Avatar {...avatarOf(conversation)} />
      <span className={styles.words}>
        <span className={styles.line}>
          <span className={styles.name} dir="auto">
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

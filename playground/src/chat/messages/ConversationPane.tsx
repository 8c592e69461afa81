import { useCallback, useState } from 'react';
import type { MessageItemFragment } from '../../gql/graphql';
import { navigate, useMe, useTypists } from '../api';
import { avatarOf, titleOf } from '../conversations/names';
import { GroupPanel } from '../groups';
import { PersonPanel } from '../people';
import { Avatar, BackIcon, Button, EmptyState, IconButton, InfoIcon, Loading, RelativeTime, SearchIcon, Trouble } from '../ui';
import { Composer, type Composing } from './Composer';
import { MessageList } from './MessageList';
import { inWords } from './typing';
import { useConversation } from './useConversation';
import styles from './ConversationPane.module.css';

/** One conversation: who it is with, what was said, and what is being written. */
export function ConversationPane({ id, sequence }: { id: string; sequence: number | null }) {
  const me = useMe();
  const view = useConversation(id);
  const typists = useTypists(id);
  const [composing, setComposing] = useState<Composing>({ kind: 'new' });
  const [isPanelOpen, setPanelOpen] = useState(false);
  const { conversation, messages } = view;

  const reply = useCallback((message: MessageItemFragment) => setComposing({ kind: 'reply', message }), []);
  const edit = useCallback((message: MessageItemFragment) => setComposing({ kind: 'edit', message }), []);

  if (view.isMissing)
    return (
      <EmptyState title="This conversation is not here" action={<Button onPress={() => navigate('/')}>To the conversations</Button>}>
        It was deleted, or you are not in it any more.
      </EmptyState>
    );
  if (view.error) return <Trouble message="The conversation could not be loaded." onRetry={view.retry} />;
  if (!conversation) return <Loading label="Loading the conversation" />;

  const newest = messages.at(-1)?.sequence ?? 0;
  const editLast = () => {
    const last = messages.findLast(({ sender, deletedAt }) => sender.id === me && !deletedAt);
    if (last) edit(last);
  };
  return (
    <section aria-label={titleOf(conversation)} className={styles.pane}>
      <header className={styles.header}>
        <IconButton label="Back" className={styles.back} onPress={() => navigate('/')}>
          <BackIcon />
        </IconButton>
        <Avatar {...avatarOf(conversation)} />
        <div className={styles.names}>
          <h2 className={styles.title} dir="auto">
            {titleOf(conversation)}
          </h2>
          <p className={styles.subtitle}>{typists.length ? inWords(typists) : <Standing conversation={conversation} />}</p>
        </div>
        <IconButton label="Search here" onPress={() => navigate(`/search/${encodeURIComponent(id)}`)}>
          <SearchIcon />
        </IconButton>
        <IconButton label={conversation.__typename === 'Group' ? 'About this group' : 'About this person'} onPress={() => setPanelOpen(true)}>
          <InfoIcon />
        </IconButton>
      </header>
      <MessageList view={view} conversation={conversation} sequence={sequence} onReply={reply} onEdit={edit} />
      {conversation.viewerCanSend ? (
        <Composer conversationId={id} newest={newest} composing={composing} onDone={() => setComposing({ kind: 'new' })} onEditLast={editLast} onRefused={setComposing} />
      ) : (
        <p className={styles.closed}>
          {conversation.__typename === 'Group'
            ? 'You cannot write here.'
            : `You and ${titleOf(conversation)} are not friends now. What was said stays; to write again, one of you invites the other.`}
        </p>
      )}
      {conversation.__typename === 'Group' ? (
        <GroupPanel id={id} isOpen={isPanelOpen} onOpenChange={setPanelOpen} />
      ) : (
        <PersonPanel id={conversation.peer.id} isOpen={isPanelOpen} onOpenChange={setPanelOpen} />
      )}
    </section>
  );
}

function Standing({ conversation }: { conversation: NonNullable<ReturnType<typeof useConversation>['conversation']> }) {
  if (conversation.__typename === 'Group') return conversation.memberCount === 1 ? '1 member' : `${conversation.memberCount} members`;
  const presence = conversation.peer.presence;
  if (presence?.status === 'ONLINE') return 'Online';
  if (presence?.lastSeenAt)
    return (
      <>
        Last seen <RelativeTime at={presence.lastSeenAt} />
      </>
    );
  return `@${conversation.peer.username}`;
}

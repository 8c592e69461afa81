import { useCallback, useEffect, useRef, useState } from 'react';
import type { MessageItemFragment } from '../../gql/graphql';
import { conversationHash, navigate, useDrafts, useMe, useRoute, useTypists } from '../api';
import { avatarOf, titleOf } from '../conversations/names';
import { GroupPanel } from '../groups';
import { PersonPanel } from '../people';
import { Avatar, BackIcon, Button, EmptyState, IconButton, InfoIcon, Loading, RelativeTime, SearchIcon, Trouble } from '../ui';
import { Composer, type Composing } from './Composer';
import { MessageList } from './MessageList';
import { inWords } from './typing';
import { UnsentMessage } from './UnsentMessage';
import { useConversation } from './useConversation';
import { useKept } from './useKept';
import styles from './ConversationPane.module.css';

/** One conversation: who it is with, what was said, and what is being written. */
export function ConversationPane({ id, sequence }: { id: string; sequence: number | null }) {
  const me = useMe();
  const view = useConversation(id);
  const typists = useTypists(id);
  const panel = usePanel(id);
  // What had the focus may be gone, as the list is on a phone.
  const heading = useRef<HTMLHeadingElement>(null);
  const isHere = view.conversation !== null && view.conversation !== undefined;
  useEffect(() => {
    if (isHere && document.activeElement === document.body) heading.current?.focus({ preventScroll: true });
  }, [isHere]);
  const unsent = useDrafts(id);
  const [replyToId, setReplyToId] = useKept(id, 'reply');
  const [editing, setEditing] = useState<(Composing & { kind: 'edit' }) | null>(null);
  const { conversation, messages } = view;

  const reply = useCallback(
    (message: MessageItemFragment) => {
      setEditing(null);
      setReplyToId(message.id);
    },
    [setReplyToId],
  );
  const edit = useCallback((message: MessageItemFragment) => setEditing({ kind: 'edit', message }), []);

  if (view.isMissing)
    return (
      <>
        <EmptyState title="This conversation is not here" action={<Button onPress={() => navigate('/')}>To the conversations</Button>}>
          It was deleted, or you are not in it any more.
        </EmptyState>
        <ol aria-label="Not sent" className={styles.lost}>
          {unsent.map((draft) => (
            <UnsentMessage key={draft.key} draft={draft} />
          ))}
        </ol>
      </>
    );
  if (view.error) return <Trouble message="The conversation could not be loaded." onRetry={view.retry} />;
  if (!conversation) return <Loading label="Loading the conversation" />;

  const newest = messages.at(-1)?.sequence ?? 0;
  const editLast = () => {
    const last = messages.findLast(({ sender, deletedAt }) => sender.id === me && !deletedAt);
    if (last) edit(last);
  };
  const composing: Composing =
    editing ?? (replyToId ? { kind: 'reply', id: replyToId, message: messages.find(({ id }) => id === replyToId) ?? null } : { kind: 'new' });
  return (
    <section aria-label={titleOf(conversation)} className={styles.pane}>
      <header className={styles.header}>
        <IconButton label="Back" className={styles.back} onPress={() => navigate('/')}>
          <BackIcon />
        </IconButton>
        <Avatar {...avatarOf(conversation)} />
        <div className={styles.names}>
          <h2 ref={heading} tabIndex={-1} className={styles.title} dir="auto">
            {titleOf(conversation)}
          </h2>
          <p className={styles.subtitle}>{typists.length ? inWords(typists) : <Standing conversation={conversation} />}</p>
        </div>
        <IconButton label="Search here" onPress={() => navigate(`/search/${encodeURIComponent(id)}`)}>
          <SearchIcon />
        </IconButton>
        <IconButton label={conversation.__typename === 'Group' ? 'About this group' : 'About this person'} onPress={panel.open}>
          <InfoIcon />
        </IconButton>
      </header>
      <MessageList view={view} conversation={conversation} sequence={sequence} isAbout={panel.isOpen} onReply={reply} onEdit={edit} />
      {conversation.viewerCanSend ? (
        <Composer conversationId={id} newest={newest} composing={composing} onDone={() => (editing ? setEditing(null) : setReplyToId(''))} onEditLast={editLast} onRefused={(refused) => setEditing((now) => now ?? refused)} />
      ) : (
        <div className={styles.closed}>
          <p>{whyClosed(conversation)}</p>
          {conversation.__typename === 'DirectConversation' && conversation.peer.relationship === 'BLOCKED' && <Button onPress={panel.open}>Unblock…</Button>}
        </div>
      )}
      {conversation.__typename === 'Group' ? (
        <GroupPanel id={id} isOpen={panel.isOpen} onOpenChange={panel.change} />
      ) : (
        <PersonPanel id={conversation.peer.id} isOpen={panel.isOpen} onOpenChange={panel.change} />
      )}
    </section>
  );
}

type Conversation = NonNullable<ReturnType<typeof useConversation>['conversation']>;

/** Whether the panel about the group or the person is open is in the address, so that the browser's way back closes it. */
function usePanel(id: string) {
  const { isAbout } = useRoute();
  const wasOpenedHere = useRef(false);
  const open = () => {
    wasOpenedHere.current = true;
    navigate(`${conversationHash(id)}/about`);
  };
  const close = () => {
    if (wasOpenedHere.current) history.back();
    else location.replace(conversationHash(id));
    wasOpenedHere.current = false;
  };
  // Where what was pressed in it leads elsewhere, that is the way back.
  const change = (isOpen: boolean) => {
    if (!isOpen && location.hash === `${conversationHash(id)}/about`) close();
  };
  return { isOpen: isAbout, open, change };
}

function whyClosed(conversation: Conversation) {
  if (conversation.__typename === 'Group') return 'You cannot write here.';
  const name = titleOf(conversation);
  if (conversation.peer.relationship === 'BLOCKED') return `You have blocked ${name}. What was said stays.`;
  // The schema keeps such names for deleted accounts.
  if (conversation.peer.username.startsWith('deleted.')) return 'This account was deleted. What was said stays.';
  return `You and ${name} are not friends now. What was said stays; to write again, one of you invites the other.`;
}

function Standing({ conversation }: { conversation: Conversation }) {
  if (conversation.__typename === 'Group') return conversation.memberCount === 1 ? '1 member' : `${conversation.memberCount} members`;
  const presence = conversation.peer.presence;
  if (presence?.status === 'ONLINE') return 'Online';
  if (presence?.lastSeenAt)
    return (
      <>
        Last seen <RelativeTime at={presence.lastSeenAt} />
      </>
    );
  return conversation.peer.username.startsWith('deleted.') ? 'Deleted account' : `@${conversation.peer.username}`;
}

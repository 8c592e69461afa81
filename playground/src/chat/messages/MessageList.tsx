import { type KeyboardEvent, useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState } from 'react';
import { useQuery } from 'urql';
import type { ConversationItemFragment, MessageItemFragment } from '../../gql/graphql';
import { Members } from '../api/cache';
import { type Draft, useDrafts, useMe } from '../api';
import { ArrowDownIcon, Button, EmptyState, Spinner, toast } from '../ui';
import { useMessageActions } from './actions';
import { Message } from './Message';
import { type Reader } from './Readers';
import { UnsentMessage } from './UnsentMessage';
import { useMarkRead } from './useMarkRead';
import type { useConversation } from './useConversation';
import styles from './MessageList.module.css';

/** So near to the end counts as being there. */
const NEAR = 80;
/** Messages of one person within this time stand together. */
const TOGETHER_MS = 5 * 60_000;
/** On the way to an old message, pages of this size are fetched, and so many of them at most. */
const PAGE_BACK = 100;
const MAX_PAGES_BACK = 50;
/** So many of these at most to where the unread begin. */
const MAX_PAGES_UNREAD = 5;

const dayName = new Intl.DateTimeFormat('en-GB', { weekday: 'long', day: 'numeric', month: 'long', year: 'numeric' });

export interface MessageListProps {
  view: ReturnType<typeof useConversation>;
  conversation: ConversationItemFragment;
  /** A message to show, by its number. */
  sequence: number | null;
  /** What is about the conversation is shown over it. */
  isAbout: boolean;
  onReply(message: MessageItemFragment): void;
  onEdit(message: MessageItemFragment): void;
}

export function MessageList({ view, conversation, sequence, isAbout, onReply, onEdit }: MessageListProps) {
  const me = useMe();
  const actions = useMessageActions();
  const { messages, hasOlder, isLoadingOlder, loadOlder } = view;
  const unsent = useUnsent(useDrafts(conversation.id), messages, me);
  const readers = useReaders(conversation.id, messages, me);
  const newest = messages.at(-1)?.sequence ?? 0;
  const scroller = useRef<HTMLDivElement>(null);
  const [isAtEnd, setAtEnd] = useState(true);
  // The same for what happens between two renderings.
  const atEnd = useRef(true);
  const latest = useRef({ messages, unreadCount: conversation.unreadCount });
  useLayoutEffect(() => {
    latest.current = { messages, unreadCount: conversation.unreadCount };
  });
  // As it was when the conversation was opened, or the window was looked at again.
  const [firstUnread, setFirstUnread] = useState(() => firstUnreadOf(messages, conversation.unreadCount, me));
  // More are unread than are here: until their beginning is, nothing counts as read.
  const [isSeekingUnread, setSeekingUnread] = useState(conversation.unreadCount > 0 && !firstUnread && sequence === null);
  const seenUpTo = useRef(firstUnread ? messages[messages.findIndex(({ id }) => id === firstUnread) - 1]?.sequence ?? 0 : newest);
  if (isAtEnd && !isSeekingUnread) seenUpTo.current = newest;
  const nBelow = messages.filter((message) => message.sequence > seenUpTo.current && message.sender.id !== me).length;
  const [focused, setFocused] = useState<string>();
  const [shown, setShown] = useState<string>();

  useMarkRead(conversation.id, newest, conversation.unreadCount, isAtEnd && !isSeekingUnread);

  // Older messages appear above: what somebody reads stays where it is. New ones appear below: who is at the end stays there.
  const before = useRef({ first: messages[0]?.id, height: 0, top: 0 });
  useLayoutEffect(() => {
    const element = scroller.current!;
    const first = messages[0]?.id;
    if (before.current.height === 0) {
      const mark = element.querySelector('[data-unread]');
      if (mark && sequence === null) mark.scrollIntoView({ block: 'center' });
      else element.scrollTop = element.scrollHeight;
    } else if (first !== before.current.first) element.scrollTop = before.current.top + element.scrollHeight - before.current.height;
    else if (atEnd.current) element.scrollTop = element.scrollHeight;
    before.current = { first, height: element.scrollHeight, top: element.scrollTop };
  }, [messages, unsent, isAtEnd, sequence]);

  const look = useCallback(() => {
    const element = scroller.current;
    if (!element) return;
    before.current = { ...before.current, height: element.scrollHeight, top: element.scrollTop };
    atEnd.current = element.scrollHeight - element.scrollTop - element.clientHeight < NEAR;
    setAtEnd(atEnd.current);
    if (element.scrollTop < element.clientHeight) void loadOlder();
  }, [loadOlder]);

  // A page that is not as tall as the screen does not scroll: so look after each one.
  useEffect(look, [look, messages]);
  useEffect(() => {
    const observer = new ResizeObserver(() => {
      if (atEnd.current && scroller.current) scroller.current.scrollTop = scroller.current.scrollHeight;
    });
    observer.observe(scroller.current!);
    return () => observer.disconnect();
  }, []);

  const toEnd = () => {
    const element = scroller.current!;
    element.scrollTo({ top: element.scrollHeight });
    atEnd.current = true;
    setAtEnd(true);
  };

  // What was just written is looked at, and who writes has read.
  const nUnsent = unsent.length;
  const nBefore = useRef(nUnsent);
  useEffect(() => {
    if (nUnsent > nBefore.current) {
      toEnd();
      setFirstUnread(undefined);
    }
    nBefore.current = nUnsent;
  }, [nUnsent]);

  const toMark = (block: ScrollLogicalPosition) => {
    scroller.current?.querySelector('[data-unread]')?.scrollIntoView({ block });
    look();
  };
  const begin = useRef(async () => {
    const isHere = () => firstUnreadOf(latest.current.messages, conversation.unreadCount, me);
    for (let page = 0; page < MAX_PAGES_UNREAD && !isHere(); page++) {
      if (!(await loadOlder(PAGE_BACK))) break;
      await new Promise(requestAnimationFrame);
    }
    const first = isHere() ?? latest.current.messages[0]?.id;
    const at = latest.current.messages.findIndex(({ id }) => id === first);
    seenUpTo.current = latest.current.messages[at - 1]?.sequence ?? 0;
    setFirstUnread(first);
    requestAnimationFrame(() => {
      toMark('center');
      setSeekingUnread(false);
    });
  });
  useEffect(() => {
    if (isSeekingUnread) void begin.current();
    // Once, as it was opened.
  }, []);
  // What came while nobody looked.
  useEffect(() => {
    const lookedAt = () => {
      if (document.visibilityState !== 'visible') return;
      const first = firstUnreadOf(latest.current.messages, latest.current.unreadCount, me);
      if (!first) return;
      setFirstUnread(first);
      requestAnimationFrame(() => toMark('nearest'));
    };
    document.addEventListener('visibilitychange', lookedAt);
    return () => document.removeEventListener('visibilitychange', lookedAt);
  }, [me]);

  /** Shows a message, however far back it is. */
  const show = useCallback(
    async (wanted: number) => {
      for (let page = 0; page < MAX_PAGES_BACK && (latest.current.messages[0]?.sequence ?? 0) > wanted; page++) {
        if (!(await loadOlder(PAGE_BACK))) break;
        await new Promise(requestAnimationFrame);
      }
      const message = latest.current.messages.find(({ sequence }) => sequence === wanted);
      if (!message) return toast('That message is too far back to be shown from here.');
      setShown(message.id);
      const element = document.getElementById(message.id);
      element?.scrollIntoView({ block: 'center' });
      element?.focus({ preventScroll: true });
      look();
    },
    [loadOlder, look],
  );
  const wasAsked = useRef<number | null>(null);
  useEffect(() => {
    if (isAbout || wasAsked.current === sequence) return;
    wasAsked.current = sequence;
    if (sequence !== null) void show(sequence);
    // From one message back to the conversation.
    else toEnd();
  }, [sequence, isAbout, show]);
  useEffect(() => {
    if (!shown) return;
    const timer = setTimeout(setShown, 2_500, undefined);
    return () => clearTimeout(timer);
  }, [shown]);

  function keyDown(event: KeyboardEvent<HTMLElement>) {
    const element = event.target as HTMLElement;
    if (element.dataset.message === undefined) {
      // Escape leads from what can be done with a message back to it.
      if (event.key === 'Escape') element.closest<HTMLElement>('[data-message]')?.focus();
      return;
    }
    const all = [...event.currentTarget.querySelectorAll<HTMLElement>('[data-message]')];
    const at = all.indexOf(element);
    const to = { ArrowUp: at - 1, ArrowDown: at + 1, Home: 0, End: all.length - 1 }[event.key];
    if (to === undefined || !all[to]) return;
    event.preventDefault();
    all[to].focus();
  }

  const tabStop = messages.some(({ id }) => id === focused) ? focused : messages.at(-1)?.id;
  return (
    <div className={styles.frame}>
      <div ref={scroller} className={styles.scroller} onScroll={look}>
        {isLoadingOlder && (
          <div className={styles.older} role="status" aria-label="Loading older messages">
            <Spinner />
          </div>
        )}
        {!hasOlder && messages.length > 0 && <p className={styles.beginning}>The beginning of the conversation</p>}
        {messages.length === 0 && unsent.length === 0 && (
          <EmptyState title="Nothing said yet">Say hello. What is written here stays between you.</EmptyState>
        )}
        <div role="log" aria-label="Messages" aria-live={isLoadingOlder ? 'off' : 'polite'}>
          <ol
            className={styles.list}
            onKeyDown={keyDown}
            onFocus={(event) => {
              const id = (event.target as HTMLElement).closest<HTMLElement>('[data-message]')?.id;
              if (id) setFocused(id);
            }}
          >
            {messages.map((message, index) => {
              const previous = messages[index - 1];
              const day = dayOf(message);
              return (
                <Message
                  key={message.id}
                  message={message}
                  day={!previous || dayOf(previous) !== day ? day : undefined}
                  isFirstUnread={message.id === firstUnread}
                  isMine={message.sender.id === me}
                  goesOn={!!previous && previous.sender.id === message.sender.id && apart(previous, message) < TOGETHER_MS && dayOf(previous) === day && message.id !== firstUnread}
                  isGroup={conversation.__typename === 'Group'}
                  canWrite={conversation.viewerCanSend}
                  isTabStop={message.id === tabStop}
                  isShown={message.id === shown}
                  readers={readers.get(message.sequence)}
                  onReply={onReply}
                  onEdit={onEdit}
                  onShow={show}
                  actions={actions}
                />
              );
            })}
            {unsent.map((draft) => (
              <UnsentMessage key={draft.key} draft={draft} />
            ))}
          </ol>
        </div>
      </div>
      {!isAtEnd && (
        <div className={styles.down}>
          <Button
            onPress={({ pointerType }) => {
              toEnd();
              // The button goes. A finger or a mouse is elsewhere anyway.
              if (pointerType === 'keyboard' || pointerType === 'virtual') document.getElementById(messages.at(-1)?.id ?? '')?.focus({ preventScroll: true });
            }}
          >
            <ArrowDownIcon size={16} />
            {nBelow > 0 ? (nBelow === 1 ? '1 new message' : `${nBelow} new messages`) : 'To the newest'}
          </Button>
        </div>
      )}
    </div>
  );
}

const dayOf = ({ createdAt }: MessageItemFragment) => dayName.format(Date.parse(createdAt));

const apart = (one: MessageItemFragment, other: MessageItemFragment) => Date.parse(other.createdAt) - Date.parse(one.createdAt);

/** Where the others' unread messages begin, as it was when the conversation was opened. */
function firstUnreadOf(messages: readonly MessageItemFragment[], unreadCount: number, me: string) {
  if (unreadCount === 0) return undefined;
  return messages.filter(({ sender }) => sender.id !== me).at(-unreadCount)?.id;
}

/** The drafts that are not among the messages. One whose answer was lost may have arrived: it then stands there already,
 *  and its next try only learns so. */
function useUnsent(drafts: readonly Draft[], messages: readonly MessageItemFragment[], me: string) {
  return useMemo(() => {
    const arrived = new Set<string>();
    return drafts.filter((draft) => {
      const message =
        draft.wasTried &&
        messages.find(({ id, sender, sequence, body }) => sender.id === me && sequence > draft.after && body === draft.body && !arrived.has(id));
      if (message) arrived.add(message.id);
      return !message;
    });
  }, [drafts, messages, me]);
}

/** Who has read how far, the viewer left out: by the number of the last message that each has read. */
function useReaders(conversationId: string, messages: readonly MessageItemFragment[], me: string) {
  const [{ data }] = useQuery({ query: Members, variables: { id: conversationId } });
  const edges = data?.conversation?.members.edges;
  return useMemo(() => {
    const readers = new Map<number, Reader[]>();
    for (const { node, lastReadSequence, lastReadAt } of edges ?? []) {
      if (node.id === me) continue;
      // To have written it is to have read it, and says nothing.
      const last = messages.findLast(({ sequence, sender }) => sequence <= lastReadSequence && sender.id !== node.id);
      if (!last || messages.some(({ sequence, sender }) => sequence > last.sequence && sequence <= lastReadSequence && sender.id === node.id)) continue;
      readers.set(last.sequence, [...(readers.get(last.sequence) ?? []), { id: node.id, displayName: node.displayName, readAt: lastReadAt }]);
    }
    return readers;
  }, [edges, messages, me]);
}

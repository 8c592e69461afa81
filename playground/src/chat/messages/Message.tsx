import { memo, useRef, useState } from 'react';
import { Toolbar as AriaToolbar } from 'react-aria-components';
import type { MessageItemFragment } from '../../gql/graphql';
import { Avatar, classes, Confirm, CopyIcon, EditIcon, exactTime, IconButton, inWords, Menu, MenuItem, MoreIcon, ReplyIcon, toast, TrashIcon } from '../ui';
import type { useMessageActions } from './actions';
import { countEmoji } from './emoji';
import { Reactions, ReactionPicker } from './Reactions';
import { type Reader, Readers } from './Readers';
import styles from './Message.module.css';

const time = new Intl.DateTimeFormat('en-GB', { timeStyle: 'short' });
const MOST_LARGE = 5;

export interface MessageProps {
  message: MessageItemFragment;
  /** The day that begins with it. */
  day: string | undefined;
  isFirstUnread: boolean;
  isMine: boolean;
  /** The one above is of the same person, and of the same moment. */
  goesOn: boolean;
  isGroup: boolean;
  canWrite: boolean;
  isTabStop: boolean;
  /** It was looked for. */
  isShown: boolean;
  readers: readonly Reader[] | undefined;
  onReply(message: MessageItemFragment): void;
  onEdit(message: MessageItemFragment): void;
  onShow(sequence: number): void;
  actions: ReturnType<typeof useMessageActions>;
}

function sameMessage(one: MessageProps, other: MessageProps) {
  const { actions: _one, readers: ones, ...rest } = one;
  const { actions: _other, readers: others, ...otherRest } = other;
  const keys = Object.keys(rest) as (keyof typeof rest)[];
  return JSON.stringify(ones) === JSON.stringify(others) && keys.every((key) => rest[key] === otherRest[key]);
}

export const Message = memo(function Message(props: MessageProps) {
  const { message, isMine, goesOn, isGroup, canWrite } = props;
  const [isHovered, setHovered] = useState(false);
  const [hasFocus, setFocus] = useState(false);
  // What opens from the toolbar takes pointer and focus away from the message, and is to stay.
  const [isOpen, setOpen] = useState(false);
  const [isAsking, setAsking] = useState(false);
  const isDeleted = message.deletedAt !== null;
  const item = useRef<HTMLLIElement>(null);
  const wasFocused = useRef(false);
  function openChanged(isOpen: boolean) {
    setOpen(isOpen);
    if (isOpen) wasFocused.current = item.current?.querySelector(':focus-visible') !== null;
    if (isOpen) return;
    // What the pointer was over is gone, and nobody tells that it left.
    setHovered(false);
    returnFocus();
  }
  // The toolbar goes with what was opened from it: who came by keyboard goes on from the message.
  function returnFocus() {
    if (wasFocused.current) setTimeout(() => item.current?.focus({ preventScroll: true }));
  }
  return (
    <>
      {props.day && (
        <li className={styles.day}>
          <span>{props.day}</span>
        </li>
      )}
      {props.isFirstUnread && (
        <li data-unread className={styles.unread}>
          <span>New messages</span>
        </li>
      )}
      <li
        ref={item}
        id={message.id}
        data-message={message.sequence}
        tabIndex={props.isTabStop ? 0 : -1}
        aria-label={`${isMine ? 'You' : message.sender.displayName}, ${time.format(Date.parse(message.createdAt))}: ${message.body ?? 'deleted'}`}
        className={classes(isMine ? styles.mine : styles.others, !goesOn && styles.first, props.isShown && styles.shown)}
        onPointerEnter={() => setHovered(true)}
        onPointerLeave={() => setHovered(false)}
        // Not from what opens elsewhere on the page: React tells of that here, too, and not of its end.
        onFocus={(event) => setFocus(event.currentTarget.contains(event.target))}
        onBlur={(event) => {
          if (!event.currentTarget.contains(event.relatedTarget)) setFocus(false);
        }}
      >
        {!isMine && isGroup && (
          <span className={styles.face}>{!goesOn && <Avatar id={message.sender.id} name={message.sender.displayName} size="small" />}</span>
        )}
        <div className={styles.column}>
          {!isMine && isGroup && !goesOn && (
            <p className={styles.sender} dir="auto">
              {message.sender.displayName}
            </p>
          )}
          <div className={styles.line}>
            <div className={classes(styles.bubble, isDeleted && styles.deleted, isLarge(message.body) && styles.large)}>
              {message.replyTo && <Quote replyTo={message.replyTo} isTabStop={props.isTabStop} onShow={props.onShow} />}
              <p className={styles.body} dir="auto">
                {message.body ?? 'This message was deleted'}
              </p>
              <p className={styles.meta}>
                {message.editedAt && !isDeleted && <span title={`Edited ${exactTime(message.editedAt)}`}>edited</span>}
                <time dateTime={message.createdAt} title={exactTime(message.createdAt)}>
                  {time.format(Date.parse(message.createdAt))}
                </time>
              </p>
            </div>
            {(isHovered || hasFocus || isOpen) && !isDeleted && canWrite && <Toolbar {...props} onOpenChange={openChanged} onDelete={() => setAsking(true)} />}
          </div>
          <Reactions message={message} isDisabled={!canWrite} onReact={props.actions.react} />
          {props.readers && <Readers readers={props.readers} isGroup={isGroup} />}
        </div>
        {isAsking && (
          <Confirm
            title="Delete this message?"
            action="Delete"
            isOpen
            onOpenChange={(isOpen) => {
              setAsking(isOpen);
              if (!isOpen) returnFocus();
            }}
            onConfirm={async () => inWords(await props.actions.remove(message.id))}
          >
            Everybody here sees then that a message was deleted, and not what it said.
          </Confirm>
        )}
      </li>
    </>
  );
}, sameMessage);

function Toolbar({ message, isMine, onReply, onEdit, actions, onOpenChange, onDelete }: MessageProps & { onOpenChange(isOpen: boolean): void; onDelete(): void }) {
  return (
    <AriaToolbar aria-label="What to do with the message" className={styles.toolbar ?? ''}>
      <ReactionPicker onOpenChange={onOpenChange} onReact={(emoji) => void actions.react(message.id, emoji, true)} />
      <IconButton label="Reply" onPress={() => onReply(message)}>
        <ReplyIcon size={18} />
      </IconButton>
      <Menu label="More" onOpenChange={onOpenChange} trigger={<IconButton label="More"><MoreIcon size={18} /></IconButton>}>
        <MenuItem
          label="Copy text"
          icon={<CopyIcon />}
          onAction={() => {
            void navigator.clipboard?.writeText(message.body ?? '').then(() => toast('Copied.'));
          }}
        />
        {isMine && <MenuItem label="Edit" icon={<EditIcon />} onAction={() => onEdit(message)} />}
        {isMine && <MenuItem label="Delete" icon={<TrashIcon />} danger onAction={onDelete} />}
      </Menu>
    </AriaToolbar>
  );
}

function Quote({ replyTo, isTabStop, onShow }: { replyTo: NonNullable<MessageItemFragment['replyTo']>; isTabStop: boolean; onShow(sequence: number): void }) {
  return (
    <button type="button" className={styles.quote} onClick={() => onShow(replyTo.sequence)} tabIndex={isTabStop ? 0 : -1}>
      <strong dir="auto">{replyTo.sender.displayName}</strong>
      <span dir="auto">{replyTo.body ?? 'deleted'}</span>
    </button>
  );
}

/** A few emoji and nothing else are shown large. */
function isLarge(body: string | null) {
  if (!body || body.length > 80) return false;
  const count = countEmoji(body);
  return count > 0 && count <= MOST_LARGE;
}

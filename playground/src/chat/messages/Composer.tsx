import { type KeyboardEvent, useEffect, useRef, useState } from 'react';
import { useQuery } from 'urql';
import { graphql } from '../../gql';
import type { MessageItemFragment } from '../../gql/graphql';
import { useKith } from '../api';
import { CloseIcon, IconButton, Notice, SendIcon } from '../ui';
import { useMessageActions } from './actions';
import { useTyping } from './typing';
import { useKept } from './useKept';
import styles from './Composer.module.css';

export type Composing =
  | { kind: 'new' }
  /** `message` is null where it is not at hand. */
  | { kind: 'reply'; id: string; message: MessageItemFragment | null }
  /** After a refusal: what was to be its body, and why it is not. */
  | { kind: 'edit'; message: MessageItemFragment; body?: string; refusal?: string };

const LIMITS = graphql(`
  query Limits {
    server {
      limits {
        maxMessageLength
      }
    }
  }
`);

export interface ComposerProps {
  conversationId: string;
  /** Sequence of the newest message here. */
  newest: number;
  composing: Composing;
  /** Back to a new message. */
  onDone(): void;
  onEditLast(): void;
  /** Back to an edit that was refused. */
  onRefused(composing: Composing & { kind: 'edit' }): void;
}

/** Enter sends, Shift and Enter make a line, Up in an empty field takes the last message up again, Escape lets it be. */
export function Composer({ conversationId, newest, composing, onDone, onEditLast, onRefused }: ComposerProps) {
  const { outbox } = useKith();
  const { edit } = useMessageActions();
  const typing = useTyping(conversationId);
  const [{ data }] = useQuery({ query: LIMITS });
  const [text, setText] = useKept(conversationId, 'text');
  const [edited, setEdited] = useState('');
  const field = useRef<HTMLTextAreaElement>(null);
  const isEditing = composing.kind === 'edit';
  const body = isEditing ? edited : text;
  const limit = data?.server.limits.maxMessageLength ?? Infinity;
  const length = [...body.trim()].length;

  const about = composing.kind === 'edit' ? composing : composing.kind === 'reply' ? composing.id : null;
  const before = useRef(about);
  useEffect(() => {
    if (about && typeof about === 'object') setEdited(about.body ?? about.message.body ?? '');
    // What was begun earlier is no reason to take the focus.
    if (about && about !== before.current) field.current?.focus();
    before.current = about;
  }, [about]);

  // As tall as what is in it; the style sheet says how tall at most.
  useEffect(() => {
    const element = field.current;
    if (!element) return;
    element.style.height = 'auto';
    element.style.height = `${element.scrollHeight}px`;
  }, [body]);

  async function submit() {
    const trimmed = body.trim();
    if (!trimmed || length > limit) return;
    typing.ends();
    field.current?.focus();
    onDone();
    if (composing.kind !== 'edit') {
      outbox.send({ conversationId, body: trimmed, replyToId: composing.kind === 'reply' ? composing.id : null, after: newest });
      setText('');
    } else if (trimmed !== composing.message.body) {
      const [refused] = await edit(composing.message.id, trimmed);
      if (refused) onRefused({ ...composing, body: trimmed, refusal: `Your change was not made. ${refused.message}` });
    }
  }

  function keyDown(event: KeyboardEvent) {
    // While a word is being composed, Enter chooses it.
    if (event.nativeEvent.isComposing) return;
    if (event.key === 'Enter' && !event.shiftKey) {
      event.preventDefault();
      void submit();
    } else if (event.key === 'Escape' && composing.kind !== 'new') {
      event.preventDefault();
      onDone();
    } else if (event.key === 'ArrowUp' && !body && composing.kind === 'new') {
      event.preventDefault();
      onEditLast();
    }
  }

  return (
    <form
      aria-label="Write a message"
      className={styles.form}
      onSubmit={(event) => {
        event.preventDefault();
        void submit();
      }}
    >
      {composing.kind === 'edit' && composing.refusal && <Notice kind="danger">{composing.refusal}</Notice>}
      {composing.kind !== 'new' && (
        <div className={styles.about}>
          <p className={styles.quote} dir="auto">
            <strong>{isEditing ? 'Editing' : `Replying to ${composing.message?.sender.displayName ?? 'an earlier message'}`}</strong>{' '}
            {composing.message && (composing.message.body ?? <em>deleted</em>)}
          </p>
          <IconButton label={isEditing ? 'Stop editing' : 'Do not reply'} onPress={onDone}>
            <CloseIcon />
          </IconButton>
        </div>
      )}
      <div className={styles.row}>
        <textarea
          ref={field}
          rows={1}
          dir="auto"
          aria-label="Message"
          placeholder="Write a message"
          className={styles.field}
          value={body}
          onChange={({ target: { value } }) => {
            if (isEditing) return setEdited(value);
            setText(value);
            if (value.trim()) typing.goesOn();
            else typing.ends();
          }}
          onKeyDown={keyDown}
          onBlur={() => typing.ends()}
        />
        <IconButton label={isEditing ? 'Save' : 'Send'} kind="primary" type="submit" isDisabled={length === 0 || length > limit}>
          <SendIcon />
        </IconButton>
      </div>
      {length > limit * 0.9 && (
        <p role="status" className={length > limit ? styles.over : styles.count}>
          {length > limit ? `${length - limit} characters too many` : `${limit - length} characters left`}
        </p>
      )}
    </form>
  );
}

import { useState } from 'react';
import { Dialog, DialogTrigger, Popover, ToggleButton } from 'react-aria-components';
import type { MessageItemFragment } from '../../gql/graphql';
import { Button, IconButton, Notice, SmileIcon, TextField } from '../ui';
import { countEmoji } from './emoji';
import styles from './Reactions.module.css';

const USUAL = [
  ['👍', 'Thumbs up'],
  ['❤️', 'Heart'],
  ['😂', 'Tears of joy'],
  ['😮', 'Surprise'],
  ['😢', 'Tear'],
  ['🎉', 'Party'],
] as const;

export interface ReactionsProps {
  message: MessageItemFragment;
  isDisabled: boolean;
  onReact(messageId: string, emoji: string, isOn: boolean): void;
}

/** What people make of a message; pressing one joins in, or takes it back. */
export function Reactions({ message, isDisabled, onReact }: ReactionsProps) {
  if (message.reactions.length === 0) return null;
  return (
    <div role="group" aria-label="Reactions" className={styles.reactions}>
      {message.reactions.map(({ emoji, count, viewerHasReacted }) => (
        <ToggleButton
          key={emoji}
          className={styles.reaction ?? ''}
          aria-label={`${emoji}, ${count}`}
          isSelected={viewerHasReacted}
          isDisabled={isDisabled}
          onChange={(isOn) => onReact(message.id, emoji, isOn)}
        >
          <span aria-hidden>{emoji}</span> {count}
        </ToggleButton>
      ))}
    </div>
  );
}

export function ReactionPicker({ onReact, onOpenChange }: { onReact(emoji: string): void; onOpenChange(isOpen: boolean): void }) {
  const [other, setOther] = useState('');
  const [isProblem, setProblem] = useState(false);
  return (
    <DialogTrigger onOpenChange={onOpenChange}>
      <IconButton label="React">
        <SmileIcon size={18} />
      </IconButton>
      <Popover className={styles.popover ?? ''} placement="top" offset={4}>
        <Dialog aria-label="React" className={styles.picker ?? ''}>
          {({ close }) => {
            const react = (emoji: string) => {
              setOther('');
              close();
              onReact(emoji);
            };
            return (
              <>
                <div className={styles.usual}>
                  {USUAL.map(([emoji, name], index) => (
                    <Button key={emoji} autoFocus={index === 0} kind="quiet" aria-label={name} className={styles.choice} onPress={() => react(emoji)}>
                      {emoji}
                    </Button>
                  ))}
                </div>
                <form
                  className={styles.other}
                  onSubmit={(event) => {
                    event.preventDefault();
                    const emoji = other.trim();
                    if (countEmoji(emoji) === 1) react(emoji);
                    else setProblem(true);
                  }}
                >
                  <TextField
                    label="Another emoji"
                    hideLabel
                    placeholder="Another emoji"
                    value={other}
                    isInvalid={isProblem}
                    onChange={(text) => {
                      setOther(text);
                      setProblem(false);
                    }}
                  />
                  <Button type="submit" isDisabled={!other.trim()}>
                    Add
                  </Button>
                </form>
                {isProblem && <Notice kind="danger">One emoji, please.</Notice>}
              </>
            );
          }}
        </Dialog>
      </Popover>
    </DialogTrigger>
  );
}

import { useState } from 'react';
import { Dialog, DialogTrigger, Popover, ToggleButton } from 'react-aria-components';
import type { MessageItemFragment } from '../../gql/graphql';
import { Button, IconButton, SmileIcon, TextField } from '../ui';
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
                  {USUAL.map(([emoji, name]) => (
                    <Button key={emoji} kind="quiet" aria-label={name} className={styles.choice} onPress={() => react(emoji)}>
                      {emoji}
                    </Button>
                  ))}
                </div>
                <form
                  className={styles.other}
                  onSubmit={(event) => {
                    event.preventDefault();
                    if (other.trim()) react(other.trim());
                  }}
                >
                  <TextField label="Another emoji" hideLabel placeholder="Another emoji" value={other} onChange={setOther} />
                  <Button type="submit" isDisabled={!other.trim()}>
                    Add
                  </Button>
                </form>
              </>
            );
          }}
        </Dialog>
      </Popover>
    </DialogTrigger>
  );
}

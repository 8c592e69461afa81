import type { CSSProperties } from 'react';
import type { PresenceStatus } from '../../gql/graphql';
import { PeopleIcon } from './icons';
import { classes } from './classes';
import styles from './Avatar.module.css';

export interface AvatarProps {
  /** Chooses the colour, so that it stays when the name changes. */
  id: string;
  name: string;
  size?: 'tiny' | 'small' | 'medium' | 'large';
  /** A dot that says whether they are there; left out where it is not known. */
  presence?: PresenceStatus | null;
  isGroup?: boolean;
}

/** A face made of initials. The name stands beside it, so it is not read aloud; whether somebody is online is. */
export function Avatar({ id, name, size = 'medium', presence, isGroup }: AvatarProps) {
  return (
    <span className={classes(styles.avatar, styles[size], isGroup && styles.group)} style={{ '--hue': hue(id) } as CSSProperties}>
      <span className={styles.face} aria-hidden>
        {initials(name) || (isGroup ? <PeopleIcon /> : '?')}
      </span>
      {presence && <span role="img" aria-label={presence === 'ONLINE' ? 'Online' : 'Offline'} className={classes(styles.dot, presence === 'ONLINE' && styles.online)} />}
    </span>
  );
}

function hue(id: string) {
  let sum = 0;
  for (const character of id) sum = (sum * 31 + character.charCodeAt(0)) % 3600;
  // Golden steps keep neighbours apart.
  return Math.round((sum * 137.508) % 360);
}

const graphemes = new Intl.Segmenter(undefined, { granularity: 'grapheme' });

function initials(name: string) {
  const words = name.split(/[\s_.·-]+/u).filter((word) => /[\p{L}\p{N}\p{Emoji_Presentation}]/u.test(word));
  const chosen = words.length > 1 ? [words[0], words.at(-1)] : words;
  return chosen.map((word) => first(word ?? '')).join('');
}

function first(word: string) {
  for (const { segment } of graphemes.segment(word)) if (/[\p{L}\p{N}\p{Emoji_Presentation}]/u.test(segment)) return segment.toLocaleUpperCase();
  return '';
}

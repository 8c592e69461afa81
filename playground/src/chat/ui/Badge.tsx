import type { ReactNode } from 'react';
import { classes } from './classes';
import styles from './Badge.module.css';

/** A word or a number that stands beside something: a role, a status, what is unread. */
export const Badge = ({ kind = 'plain', children }: { kind?: 'plain' | 'accent' | 'warm' | 'danger' | 'count'; children: ReactNode }) => (
  <span className={classes(styles.badge, styles[kind])}>{children}</span>
);

/** How many are unread; nothing for none. */
export const CountBadge = ({ count, label }: { count: number; label: string }) =>
  count > 0 && (
    <span className={classes(styles.badge, styles.count)}>
      <span aria-hidden>{count > 99 ? '99+' : count}</span>
      <span className={styles.aloud}>
        {count} {label}
      </span>
    </span>
  );

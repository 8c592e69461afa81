import type { ReactNode } from 'react';
import { classes } from './classes';
import { Button } from './Button';
import { CheckIcon, InfoIcon, WarningIcon } from './icons';
import styles from './Notice.module.css';

export interface NoticeProps {
  kind?: 'info' | 'good' | 'warm' | 'danger';
  children: ReactNode;
}

/** Something to know, where it matters; read aloud when it appears. */
export function Notice({ kind = 'info', children }: NoticeProps) {
  const Icon = kind === 'good' ? CheckIcon : kind === 'info' ? InfoIcon : WarningIcon;
  return (
    <div role={kind === 'danger' ? 'alert' : 'status'} className={classes(styles.notice, styles[kind])}>
      <Icon />
      <div className={styles.text}>{children}</div>
    </div>
  );
}

/** A list or a page that could not be had. */
export function Trouble({ message, onRetry }: { message: string; onRetry?: () => void }) {
  return (
    <div className={styles.trouble}>
      <Notice kind="danger">{message}</Notice>
      {onRetry && <Button onPress={onRetry}>Try again</Button>}
    </div>
  );
}

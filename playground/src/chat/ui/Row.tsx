import type { ReactNode } from 'react';
import { Button as AriaButton } from 'react-aria-components';
import { classes } from './classes';
import styles from './Row.module.css';

export interface RowProps {
  /** A face or a picture. */
  leading?: ReactNode;
  title: ReactNode;
  subtitle?: ReactNode;
  /** What can be done with it; wraps below where there is no room. */
  trailing?: ReactNode;
  /** Opens it: the face and the words are one button then. */
  onPress?: () => void;
}

/** One entry of a list. */
export function Row({ leading, title, subtitle, trailing, onPress }: RowProps) {
  const words = (
    <>
      {leading}
      <span className={styles.words}>
        <span dir="auto" className={styles.title}>{title}</span>
        {subtitle && <span className={styles.subtitle}>{subtitle}</span>}
      </span>
    </>
  );
  return (
    <div className={styles.row}>
      {onPress ? (
        <AriaButton className={classes(styles.main, styles.pressable)} onPress={onPress}>
          {words}
        </AriaButton>
      ) : (
        <div className={styles.main}>{words}</div>
      )}
      {trailing && <div className={styles.trailing}>{trailing}</div>}
    </div>
  );
}

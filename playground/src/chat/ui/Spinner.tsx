import { ProgressBar } from 'react-aria-components';
import { classes } from './classes';
import styles from './Spinner.module.css';

/** The turning ring by itself; who shows it says what is going on. */
export const Spinner = () => <span className={styles.spinner} aria-hidden />;

/** A place that waits for its content, and says so. */
export const Loading = ({ label = 'Loading' }: { label?: string }) => (
  <ProgressBar isIndeterminate aria-label={label} className={styles.loading ?? ''}>
    <Spinner />
  </ProgressBar>
);

/** Rows of a list that is on its way: a face, a name and a word each. */
export const SkeletonRows = ({ count = 4, label = 'Loading' }: { count?: number; label?: string }) => (
  <ProgressBar isIndeterminate aria-label={label} className={styles.rows ?? ''}>
    {Array.from({ length: count }, (_, index) => (
      <span key={index} className={styles.row}>
        <span className={classes(styles.bone, styles.face)} />
        <span className={styles.words}>
          <Skeleton width={`${7 + ((index * 5) % 4)}rem`} />
          <Skeleton width={`${10 + ((index * 7) % 5)}rem`} />
        </span>
      </span>
    ))}
  </ProgressBar>
);

/** A line of text that is on its way. */
export const Skeleton = ({ width = '100%' }: { width?: string }) => <span className={styles.bone} style={{ width }} aria-hidden />;

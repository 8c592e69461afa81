import { useId, type ReactNode } from 'react';
import { classes } from './classes';
import styles from './Section.module.css';

export interface SectionProps {
  title: string;
  /** A sentence below the title. */
  lead?: ReactNode;
  /** What can be done with all of it. */
  action?: ReactNode;
  children: ReactNode;
  /** Inside a panel: without a card around it. */
  bare?: boolean;
}

/** A part of a page with a title. */
export function Section({ title, lead, action, children, bare }: SectionProps) {
  const id = useId();
  return (
    <section aria-labelledby={id} className={classes(styles.section, !bare && styles.card)}>
      <header className={styles.header}>
        <h2 id={id} className={styles.title}>
          {title}
        </h2>
        {action}
      </header>
      {lead && <p className={styles.lead}>{lead}</p>}
      {children}
    </section>
  );
}

/** What stands in the pane beside the list of conversations. */
export const Page = ({ title, lead, children }: { title: string; lead?: ReactNode; children: ReactNode }) => (
  <div className={styles.page}>
    <div className={styles.column}>
      <header>
        <h1 className={styles.display}>{title}</h1>
        {lead && <p className={styles.lead}>{lead}</p>}
      </header>
      {children}
    </div>
  </div>
);

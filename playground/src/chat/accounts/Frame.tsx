import type { ReactNode } from 'react';
import { Mark } from '../ui';
import styles from './Frame.module.css';

/** A page by itself, before or beside the chat: the mark, and one card. */
export const Frame = ({ title, children }: { title: string; children: ReactNode }) => (
  <main className={styles.page}>
    <div className={styles.card}>
      <Mark size={48} />
      <h1 className={styles.title}>{title}</h1>
      {children}
    </div>
  </main>
);

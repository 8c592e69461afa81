import type { ReactNode } from 'react';
import styles from './EmptyState.module.css';

export interface EmptyStateProps {
  title: string;
  icon?: ReactNode;
  /** What to do first. */
  children?: ReactNode;
  action?: ReactNode;
}

/** A place where nothing is yet. */
export const EmptyState = ({ title, icon, children, action }: EmptyStateProps) => (
  <div className={styles.empty}>
    {icon && <span className={styles.icon}>{icon}</span>}
    <p className={styles.title}>{title}</p>
    {children && <div className={styles.text}>{children}</div>}
    {action && <div className={styles.action}>{action}</div>}
  </div>
);

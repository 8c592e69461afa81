import { Fragment, type ReactNode } from 'react';
import { Button } from './Button';
import { Trouble } from './Notice';
import styles from './Pages.module.css';
import { inSentence } from './refusals';
import { SkeletonRows } from './Spinner';
import type { Paged } from './usePages';

export interface PagesProps<Edge> {
  pages: Paged<unknown, Edge>;
  label: string;
  /** What stands there when nothing is in it. */
  empty: ReactNode;
  keyOf(edge: Edge): string;
  children(edge: Edge): ReactNode;
}

/** A list of the server, while it comes, when it is there, when it is empty, and when it could not be had. */
export function Pages<Edge>({ pages, label, empty, keyOf, children }: PagesProps<Edge>) {
  const { edges, error, isFetching, hasMore, showMore, refetch } = pages;
  if (!edges) return error ? <Trouble message={inSentence(error)} onRetry={refetch} /> : <SkeletonRows label={`Loading: ${label}`} />;
  if (edges.length === 0 && !hasMore) return <Fragment>{empty}</Fragment>;
  return (
    <>
      <ul className={styles.list} aria-label={label}>
        {edges.map((edge) => (
          <li key={keyOf(edge)} className={styles.item}>
            {children(edge)}
          </li>
        ))}
      </ul>
      {error && <Trouble message={inSentence(error)} onRetry={refetch} />}
      {hasMore && !error && (
        <Button onPress={showMore} isPending={isFetching}>
          Show more
        </Button>
      )}
    </>
  );
}

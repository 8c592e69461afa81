import { useEffect, useRef, type ReactNode } from 'react';
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
  const place = usePlaceOfFocus(edges?.length);
  if (!edges) return error ? <Trouble message={inSentence(error)} onRetry={refetch} /> : <SkeletonRows label={`Loading: ${label}`} />;
  return (
    <div {...place} className={styles.pages}>
      {edges.length === 0 && !hasMore ? (
        empty
      ) : (
        <ul className={styles.list} aria-label={label}>
          {edges.map((edge) => (
            <li key={keyOf(edge)} className={styles.item}>
              {children(edge)}
            </li>
          ))}
        </ul>
      )}
      {error && <Trouble message={inSentence(error)} onRetry={refetch} />}
      {hasMore && !error && (
        <Button onPress={showMore} isPending={isFetching}>
          Show more
        </Button>
      )}
    </div>
  );
}

/** Keeps the focus at the list when the entry that had it leaves it. */
function usePlaceOfFocus(nEntries: number | undefined) {
  const ref = useRef<HTMLDivElement>(null);
  const wasInside = useRef(false);
  useEffect(() => {
    if (wasInside.current && document.activeElement === document.body) ref.current?.focus({ preventScroll: true });
  }, [nEntries]);
  return {
    ref,
    tabIndex: -1,
    onFocus: () => {
      wasInside.current = true;
    },
    onBlur: () => {
      // An entry that is taken away blurs nothing.
      wasInside.current = false;
    },
  };
}

import { useEffect, useState } from 'react';
import { useClient, useQuery, type AnyVariables, type CombinedError, type TypedDocumentNode } from 'urql';
import { pipe, subscribe } from 'wonka';

export interface Connection<Edge> {
  edges: readonly Edge[];
  pageInfo: { hasNextPage: boolean; endCursor: string | null };
  totalCount?: number;
}

export interface Paged<Data, Edge> {
  data: Data | undefined;
  edges: readonly Edge[] | undefined;
  totalCount: number | undefined;
  error: CombinedError | undefined;
  isFetching: boolean;
  hasMore: boolean;
  showMore(): void;
  refetch(): void;
}

/** A list of the server, page by page. The cache joins the pages; all that are shown are listened to, so that each is
 *  fetched anew when an event says that the list is another. */
export function usePages<Data, Variables extends AnyVariables & { after?: string | null }, Edge>(
  query: TypedDocumentNode<Data, Variables>,
  variables: Omit<Variables, 'after'>,
  pick: (data: Data) => Connection<Edge> | null | undefined,
): Paged<Data, Edge> {
  const client = useClient();
  const [{ data, error, fetching, stale }, execute] = useQuery({
    query,
    variables: variables as Variables,
    requestPolicy: 'cache-and-network',
  });

  // Where the pages after the first begin. Another list has none at first.
  const list = JSON.stringify(variables);
  const [further, setFurther] = useState<Further>({ list, cursors: [] });
  const cursors = further.list === list ? further.cursors : NONE;
  const [more, setMore] = useState<{ isFetching: boolean; error?: CombinedError }>({ isFetching: false });

  useEffect(() => {
    if (cursors.length === 0) return;
    setMore({ isFetching: true });
    const pages = cursors.map((after, index) =>
      pipe(
        client.query(query, { ...variables, after } as Variables),
        subscribe(({ error, stale }) => {
          if (index === cursors.length - 1) setMore({ isFetching: stale, error });
        }),
      ),
    );
    return () => pages.forEach(({ unsubscribe }) => unsubscribe());
    // `list` stands for the variables.
  }, [client, query, list, cursors]);

  const connection = data ? pick(data) : undefined;
  return {
    data,
    edges: connection?.edges,
    totalCount: connection?.totalCount,
    error: error ?? (cursors.length > 0 ? more.error : undefined),
    isFetching: fetching || stale || (cursors.length > 0 && more.isFetching),
    hasMore: connection?.pageInfo.hasNextPage ?? false,
    showMore: () => {
      const cursor = connection?.pageInfo.endCursor;
      if (cursor && !cursors.includes(cursor)) setFurther({ list, cursors: [...cursors, cursor] });
    },
    refetch: () => {
      setFurther({ list, cursors: [] });
      execute({ requestPolicy: 'network-only' });
    },
  };
}

interface Further {
  list: string;
  cursors: readonly string[];
}

const NONE: readonly string[] = [];

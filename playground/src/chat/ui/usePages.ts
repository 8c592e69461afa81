import { useEffect, useState } from 'react';
import { useQuery, type AnyVariables, type CombinedError, type TypedDocumentNode } from 'urql';

export interface Connection<Edge> {
  edges: readonly Edge[];
  pageInfo: { hasNextPage: boolean; hasPreviousPage: boolean; endCursor: string | null };
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

/** A list of the server, page by page. The cache joins the pages: asking for what comes `after` gives all of them. */
export function usePages<Data, Variables extends AnyVariables & { after?: string | null }, Edge>(
  query: TypedDocumentNode<Data, Variables>,
  variables: Omit<Variables, 'after'>,
  pick: (data: Data) => Connection<Edge> | null | undefined,
  pause = false,
): Paged<Data, Edge> {
  const [after, setAfter] = useState<string | null>(null);
  const [{ data, error, fetching, stale }, execute] = useQuery({
    query,
    variables: { ...variables, after } as Variables,
    requestPolicy: 'cache-and-network',
    pause,
  });
  const connection = data ? pick(data) : undefined;

  // Another list begins at its first page, and so does one whose first page the cache has dropped.
  const list = JSON.stringify(variables);
  const [shown, setShown] = useState(list);
  if (shown !== list) {
    setShown(list);
    setAfter(null);
  }
  const lacksItsStart = after !== null && !fetching && !stale && connection?.pageInfo.hasPreviousPage;
  useEffect(() => {
    if (lacksItsStart) setAfter(null);
  }, [lacksItsStart]);

  return {
    data,
    edges: connection?.edges,
    totalCount: connection?.totalCount,
    error,
    isFetching: fetching || stale,
    hasMore: connection?.pageInfo.hasNextPage ?? false,
    showMore: () => setAfter(connection?.pageInfo.endCursor ?? null),
    refetch: () => execute({ requestPolicy: 'network-only' }),
  };
}

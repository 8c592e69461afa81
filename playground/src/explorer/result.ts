// What is sent and what comes back, whatever carries it.
import { SignedOut } from '../shared/accounts';

export interface Params {
  query: string;
  operationName?: string | null;
  variables?: Record<string, unknown> | null;
}

export interface Result {
  data?: Record<string, unknown> | null;
  errors?: readonly { message: string; extensions?: { code?: unknown } }[];
}

/** What the response pane shows instead of an answer. */
export function failed(error: unknown): Result {
  if (Array.isArray(error)) return { errors: error as Result['errors'] };
  return { errors: [{ message: words(error) }] };
}

/** Why something failed, in a sentence. */
export function words(error: unknown): string {
  if (error instanceof SignedOut) return 'The session is over. Sign in again.';
  // What the client itself closes, because nothing comes any more.
  if (isClose(error) && error.code === 4499) return 'The connection is gone.';
  if (isClose(error)) return error.reason ? `${error.reason} (${error.code})` : `The socket was closed with ${error.code}.`;
  if (Array.isArray(error)) return error.map(words).join(' ');
  return typeof error === 'object' && error && 'message' in error ? String(error.message) : String(error);
}

const isClose = (error: unknown): error is CloseEvent =>
  typeof error === 'object' && error !== null && 'code' in error && typeof error.code === 'number';

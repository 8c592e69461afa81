import type { CombinedError } from '@urql/core';
import type { FormError } from './Form';
import type { Refusals } from './useSubmit';

/** Why an operation was refused, in the server's words: its `userErrors`, else its error. Nothing when it was done. */
export function refusals(error: CombinedError | undefined, payload?: { userErrors: readonly FormError[] } | null): Refusals {
  if (payload?.userErrors.length) return payload.userErrors;
  return error ? [{ message: inSentence(error) }] : [];
}

/** What to say of an error to the person at the keyboard. */
export function inSentence(error: CombinedError): string {
  if (error.networkError) return 'The server cannot be reached. Try again in a moment.';
  const [first] = error.graphQLErrors;
  if (!first) return 'That did not work. Try again.';
  const wait = first.extensions?.retryAfter;
  // The server counts in seconds, people in minutes.
  return typeof wait === 'number' ? first.message.replace(/ \d+ s\.$/, ` ${inWords(wait)}.`) : first.message;
}

function inWords(seconds: number) {
  const [size, unit] = seconds < 90 ? [Math.max(1, Math.ceil(seconds)), 'second'] : [Math.ceil(seconds / 60), 'minute'];
  return new Intl.NumberFormat('en-GB', { style: 'unit', unit: String(unit), unitDisplay: 'long' }).format(Number(size));
}

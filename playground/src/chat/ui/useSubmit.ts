import { useRef, useState } from 'react';
import type { FormError } from './Form';

/** Why something was refused; nothing, when it was done. */
export type Refusals = readonly FormError[];

/** Runs something that may be refused, one at a time: a double click does it once. */
export function useSubmit<Arguments extends unknown[]>(work: (...given: Arguments) => Promise<Refusals>) {
  const [pending, setPending] = useState(false);
  const [errors, setErrors] = useState<Refusals>([]);
  const running = useRef(false);

  async function submit(...given: Arguments): Promise<Refusals> {
    if (running.current) return [];
    running.current = true;
    setPending(true);
    setErrors([]);
    try {
      const refusals = await work(...given);
      setErrors(refusals);
      return refusals;
    } finally {
      running.current = false;
      setPending(false);
    }
  }

  return { submit, pending, errors, clear: () => setErrors([]) };
}

/** All of them as one text, for where there is no form; null when there are none. */
export const inWords = (refusals: Refusals) => refusals.map(({ message }) => message).join(' ') || null;

import { useEffect, useState } from 'react';

const PAUSE_MS = 350;

/** What something was when it last stood still for a moment. */
export function useSettled(text: string) {
  const [settled, setSettled] = useState(text);
  useEffect(() => {
    const timer = setTimeout(setSettled, PAUSE_MS, text);
    return () => clearTimeout(timer);
  }, [text]);
  return settled;
}

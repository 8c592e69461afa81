import { useEffect, useState } from 'react';

/** What `question` answers, once for each `key`; undefined until then. */
export function useAsked<Answer>(key: string | null, question: () => Promise<Answer>): { answer: Answer | undefined; again(): void } {
  const [asked, setAsked] = useState<{ key: string; answer: Answer }>();
  const [round, setRound] = useState(0);
  useEffect(() => {
    if (key === null) return;
    let isShown = true;
    void question().then((answer) => isShown && setAsked({ key, answer }));
    return () => {
      isShown = false;
    };
    // The key says what the question is.
  }, [key, round]);
  return {
    answer: asked?.key === key ? asked.answer : undefined,
    again: () => {
      setAsked(undefined);
      setRound(round + 1);
    },
  };
}

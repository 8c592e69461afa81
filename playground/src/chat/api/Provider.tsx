import { createContext, type ReactNode, useContext, useEffect, useState, useSyncExternalStore } from 'react';
import { Provider as UrqlProvider } from 'urql';
import { type Account, end } from '../../shared/accounts';
import { createKith, type Kith } from './client';

const Context = createContext<Kith | null>(null);

/** Everything below speaks to the server as this person. */
export function KithProvider({ account, children }: { account: Account; children: ReactNode }) {
  const [kith, setKith] = useState<Kith | null>(null);
  const [beginning, setBeginning] = useState<{ after: string | null }>({ after: null });

  useEffect(() => {
    let isOver = false;
    const resync = (after: string | null) => setBeginning({ after });
    const made = createKith({ account, after: beginning.after, resync, signedOut: () => end(account.id) });
    void made.ready.then(() => {
      if (!isOver) setKith(made);
    });
    return () => {
      isOver = true;
      made.close();
    };
    // The tokens of an account change, and nothing begins anew for that.
  }, [account.id, beginning]);

  if (!kith || kith.account.id !== account.id) return null;
  return (
    <Context value={kith}>
      <UrqlProvider value={kith.client}>{children}</UrqlProvider>
    </Context>
  );
}

export function useKith(): Kith {
  const kith = useContext(Context);
  if (!kith) throw new Error('there is a KithProvider above');
  return kith;
}

/** The id of the person whose window this is, `user_…`. */
export const useMe = () => useKith().account.id;

export function useConnection() {
  const { connection } = useKith();
  return useSyncExternalStore(connection.subscribe, connection.get);
}

export function useTypists(conversationId: string) {
  const { typists } = useKith();
  return useSyncExternalStore(typists.subscribe, () => typists.of(conversationId));
}

/** What was written in a conversation and has not arrived. */
export function useDrafts(conversationId: string) {
  const { outbox } = useKith();
  return useSyncExternalStore(outbox.subscribe, () => outbox.of(conversationId));
}

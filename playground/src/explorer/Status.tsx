import { formatShortcutForOS, KEY_MAP } from '@graphiql/react';
import { useConnection, type Connection } from './connection';

/** How the live subscription is doing. */
export function Status() {
  const connection = useConnection();
  return (
    <p className="kith-status" role="status" data-state={connection.state}>
      {words(connection)}
    </p>
  );
}

function words({ state, received, resumes, reason }: Connection) {
  const events = `${received} ${received === 1 ? 'event' : 'events'}`;
  switch (state) {
    case 'none':
      return `${formatShortcutForOS(KEY_MAP.runQuery.key)} in the editor runs it.`;
    case 'connecting':
      return 'Connecting …';
    case 'live':
      return `Live · ${events}${resumes ? ' · resumes from its cursor' : ''}`;
    case 'cut':
      return `${reason} Connecting again …`;
    case 'over':
      return `Ended after ${events}. ${reason}`;
  }
}

import { type Draft, useConnection, useKith } from '../api';
import { Button, ClockIcon } from '../ui';
import styles from './Message.module.css';

/** What was written and has not arrived. */
export function UnsentMessage({ draft }: { draft: Draft }) {
  const { outbox } = useKith();
  const connection = useConnection();
  return (
    <li className={styles.mine} data-unsent={draft.refusal ? 'refused' : 'sending'}>
      <div className={styles.unsent}>
        <p className={styles.body} dir="auto">
          {draft.body}
        </p>
      </div>
      {draft.refusal ? (
        <div role="alert" className={styles.refusal}>
          <p>Not sent. {draft.refusal}</p>
          <Button kind="quiet" onPress={() => outbox.tryAgain(draft)}>
            Try again
          </Button>
          <Button kind="quiet" onPress={() => outbox.discard(draft)}>
            Discard
          </Button>
        </div>
      ) : (
        <p className={styles.state}>
          <ClockIcon size={12} /> {connection.state === 'online' ? 'Sending…' : 'Waits for the connection'}
        </p>
      )}
    </li>
  );
}

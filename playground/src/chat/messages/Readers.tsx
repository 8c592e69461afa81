import { Avatar, exactTime } from '../ui';
import styles from './Message.module.css';

export interface Reader {
  id: string;
  displayName: string;
  readAt: string | null;
}

const MOST = 5;
const list = new Intl.ListFormat('en-GB');

/** Who has read to here, and no further. */
export function Readers({ readers, isGroup }: { readers: readonly Reader[]; isGroup: boolean }) {
  const names = list.format(readers.map(({ displayName }) => displayName));
  const readAt = readers[0]?.readAt;
  if (!isGroup)
    return (
      <p className={styles.readers} title={readAt ? exactTime(readAt) : undefined}>
        Read
      </p>
    );
  return (
    <p className={styles.readers} title={`Read by ${names}`}>
      <span className={styles.aloud}>Read by {names}</span>
      <span aria-hidden className={styles.faces}>
        {readers.slice(0, MOST).map(({ id, displayName }) => (
          <Avatar key={id} id={id} name={displayName} size="tiny" />
        ))}
        {readers.length > MOST && `+${readers.length - MOST}`}
      </span>
    </p>
  );
}

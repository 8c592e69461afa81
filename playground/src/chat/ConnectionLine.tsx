import { useEffect, useState } from 'react';
import { useConnection } from './api';
import styles from './ConnectionLine.module.css';

/** Says that what is on the screen may be old. Nothing, while it is not. */
export function ConnectionLine() {
  const connection = useConnection();
  const [now, setNow] = useState(Date.now);
  const retryAt = connection.state === 'offline' ? connection.retryAt : null;
  const isAway = useLasting(connection.state !== 'online');

  useEffect(() => {
    if (retryAt === null) return;
    setNow(Date.now());
    const clock = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(clock);
  }, [retryAt]);

  const seconds = retryAt === null ? 0 : Math.ceil((retryAt - now) / 1000);
  return (
    <div role="status" aria-label="Connection" data-state={connection.state} className={styles.place}>
      {isAway && (
        <p className={styles.line}>
          <span aria-hidden className={styles.dot} />
          Not connected.{' '}
          {/* The seconds are not read aloud. */}
          <span aria-hidden>{seconds > 0 ? `Trying again in ${seconds} s` : 'Connecting…'}</span>
        </p>
      )}
    </div>
  );
}

/** True once it has been for a second: a blink is not worth a word. */
function useLasting(is: boolean) {
  const [lasts, setLasts] = useState(false);
  useEffect(() => {
    if (!is) return setLasts(false);
    const timer = setTimeout(setLasts, 1000, true);
    return () => clearTimeout(timer);
  }, [is]);
  return is && lasts;
}

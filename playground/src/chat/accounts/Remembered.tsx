import { resume, useRemembered } from '../../shared/accounts';
import { Avatar, CloseIcon, IconButton } from '../ui';
import { Button as AriaButton } from 'react-aria-components';
import styles from './Remembered.module.css';
import { signOut } from './signOut';

/** The accounts of this browser: one press, and the window shows one of them. */
export function Remembered() {
  const accounts = useRemembered();
  if (accounts.length === 0) return null;
  return (
    <section aria-labelledby="remembered">
      <h2 id="remembered" className={styles.title}>
        Continue as
      </h2>
      <ul className={styles.list}>
        {accounts.map((account) => (
          <li key={account.id} className={styles.row}>
            <AriaButton className={styles.person ?? ''} onPress={() => resume(account.id)}>
              <Avatar id={account.id} name={account.displayName} size="small" />
              <span className={styles.names}>
                <bdi className={styles.name}>{account.displayName}</bdi> <span className={styles.username}>@{account.username}</span>
              </span>
            </AriaButton>
            <IconButton label={`Sign out ${account.username}`} onPress={() => void signOut(account)}>
              <CloseIcon size={18} />
            </IconButton>
          </li>
        ))}
      </ul>
    </section>
  );
}

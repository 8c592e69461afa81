import { useRemembered } from '../../shared/accounts';
import { at } from '../../shared/server';
import { Mark } from '../ui';
import { Remembered } from './Remembered';
import { SignInForms } from './SignInForms';
import styles from './SignInPage.module.css';

/** What a window shows that shows nobody. */
export function SignInPage() {
  const isKnown = useRemembered().length > 0;
  return (
    <main className={styles.page}>
      <section className={styles.welcome}>
        <Mark size={72} />
        <h1 className={styles.title}>Kith</h1>
        <p className={styles.lead}>Messages between people who know each other. Nobody can write to you until you have said yes to them.</p>
        <p className={styles.hint}>
          Each window remembers who it shows. <a href={at('').href} target="_blank" rel="noopener">Open a second one</a>, and be a second person there.
        </p>
        <p className={styles.hint}>
          Made of one GraphQL schema. <a href={at('explorer').href}>Try it in the explorer</a>.
        </p>
      </section>
      <section className={styles.card} aria-label="Sign in or register">
        <Remembered />
        <SignInForms initial={isKnown ? 'login' : 'register'} />
      </section>
    </main>
  );
}

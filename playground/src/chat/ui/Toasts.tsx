import { Button as AriaButton, Text, UNSTABLE_Toast as Toast, UNSTABLE_ToastContent as ToastContent, UNSTABLE_ToastQueue as ToastQueue, UNSTABLE_ToastRegion as ToastRegion } from 'react-aria-components';
import { classes } from './classes';
import { CloseIcon } from './icons';
import styles from './Toasts.module.css';

interface Words {
  message: string;
  kind: 'plain' | 'danger';
  action?: { label: string; onPress(): void };
}

const queue = new ToastQueue<Words>({ maxVisibleToasts: 3 });

/** Says that something is done, wherever the person is. A refusal stands where it was caused instead; `danger` is for what
 *  went wrong by itself. */
export function toast(message: string, kind: Words['kind'] = 'plain', action?: Words['action']) {
  queue.add({ message, kind, action }, { timeout: kind === 'danger' || action ? 10_000 : 5_000 });
}

/** Where toasts appear: once, at the root. */
export const Toasts = () => (
  <ToastRegion queue={queue} className={styles.region ?? ''}>
    {({ toast }) => (
      <Toast toast={toast} className={classes(styles.toast, styles[toast.content.kind])}>
        <ToastContent className={styles.content ?? ''}>
          <Text slot="title">{toast.content.message}</Text>
        </ToastContent>
        {toast.content.action && (
          <AriaButton
            className={styles.action ?? ''}
            onPress={() => {
              toast.content.action?.onPress();
              queue.close(toast.key);
            }}
          >
            {toast.content.action.label}
          </AriaButton>
        )}
        <AriaButton slot="close" aria-label="Dismiss" className={styles.close ?? ''}>
          <CloseIcon size={18} />
        </AriaButton>
      </Toast>
    )}
  </ToastRegion>
);

import { useCallback } from 'react';

/** Keeps the focus in a dialog also when what had it goes away, as a button does whose work is done: else Escape and Tab
 *  would reach nobody. To be given to the dialog as its ref. */
export function useKeptFocus(close: () => void) {
  return useCallback(
    (dialog: HTMLElement | null) => {
      if (!dialog) return;
      let check: ReturnType<typeof setTimeout> | undefined;

      const isLost = () => document.activeElement === document.body && isTopmost(dialog);
      const keep = () => {
        clearTimeout(check);
        // The library gives the focus back to what opened a dialog, if that is still there.
        check = setTimeout(() => isLost() && dialog.focus(), 100);
      };
      const press = (event: KeyboardEvent) => {
        if (!isLost()) return;
        dialog.focus();
        if (event.key === 'Escape') close();
      };

      const changes = new MutationObserver(keep);
      changes.observe(dialog, { childList: true, subtree: true });
      changes.observe(document.body, { childList: true });
      document.addEventListener('keydown', press, true);
      return () => {
        clearTimeout(check);
        changes.disconnect();
        document.removeEventListener('keydown', press, true);
      };
    },
    // The dialog keeps the first of them: closing is the same all the time.
    [],
  );
}

const isTopmost = (dialog: HTMLElement) => [...document.querySelectorAll('section:is([role="dialog"], [role="alertdialog"])')].at(-1) === dialog;

import { useState, type ReactNode } from 'react';
import { Dialog as AriaDialog, Heading, Modal, ModalOverlay } from 'react-aria-components';
import { Button, IconButton } from './Button';
import { CloseIcon } from './icons';
import { Notice } from './Notice';
import { useKeptFocus } from './useKeptFocus';
import styles from './Dialog.module.css';

export interface DialogProps {
  title: string;
  isOpen: boolean;
  onOpenChange(isOpen: boolean): void;
  children: ReactNode;
  /** Asks something that is not to be passed by: it is read aloud at once, and a click beside it does nothing. */
  role?: 'dialog' | 'alertdialog';
}

/** A small window over the page. */
export function Dialog({ title, isOpen, onOpenChange, children, role = 'dialog' }: DialogProps) {
  const kept = useKeptFocus(() => onOpenChange(false));
  return (
    <ModalOverlay className={styles.overlay ?? ''} isOpen={isOpen} onOpenChange={onOpenChange} isDismissable={role === 'dialog'}>
      <Modal className={styles.modal ?? ''}>
        <AriaDialog ref={kept} className={styles.dialog ?? ''} role={role}>
          <header className={styles.header}>
            <Heading slot="title" level={2} className={styles.title}>
              {title}
            </Heading>
            {role === 'dialog' && (
              <IconButton label="Close" onPress={() => onOpenChange(false)}>
                <CloseIcon />
              </IconButton>
            )}
          </header>
          {children}
        </AriaDialog>
      </Modal>
    </ModalOverlay>
  );
}

export interface ConfirmProps {
  title: string;
  /** What will happen, in a sentence or two. */
  children: ReactNode;
  /** What the button says: the verb, never "OK". */
  action: string;
  isOpen: boolean;
  onOpenChange(isOpen: boolean): void;
  /** Does it. What it returns is why it was refused; with nothing, the dialog closes. */
  onConfirm(): Promise<string | null | undefined | void>;
  kind?: 'primary' | 'danger';
}

/** Asks before something that cannot be taken back. */
export function Confirm({ title, children, action, isOpen, onOpenChange, onConfirm, kind = 'danger' }: ConfirmProps) {
  const [pending, setPending] = useState(false);
  const [refusal, setRefusal] = useState<string | null>(null);

  function change(open: boolean) {
    setRefusal(null);
    onOpenChange(open);
  }

  async function confirm() {
    setPending(true);
    setRefusal(null);
    try {
      const refused = await onConfirm();
      if (refused) setRefusal(refused);
      else onOpenChange(false);
    } finally {
      setPending(false);
    }
  }

  return (
    <Dialog title={title} isOpen={isOpen} onOpenChange={change} role="alertdialog">
      <div className={styles.text}>{children}</div>
      {refusal && <Notice kind="danger">{refusal}</Notice>}
      <div className={styles.actions}>
        <Button autoFocus onPress={() => change(false)}>
          Cancel
        </Button>
        <Button kind={kind} isPending={pending} onPress={() => void confirm()}>
          {action}
        </Button>
      </div>
    </Dialog>
  );
}

import type { ReactNode } from 'react';
import { Dialog as AriaDialog, Heading, Modal, ModalOverlay } from 'react-aria-components';
import { IconButton } from './Button';
import { BackIcon, CloseIcon } from './icons';
import { useKeptFocus } from './useKeptFocus';
import styles from './Sheet.module.css';

export interface SheetProps {
  title: string;
  isOpen: boolean;
  onOpenChange(isOpen: boolean): void;
  children: ReactNode;
}

/** A panel at the side of the page; on a phone, a screen of its own with a way back. */
export function Sheet({ title, isOpen, onOpenChange, children }: SheetProps) {
  const kept = useKeptFocus(() => onOpenChange(false));
  return (
    <ModalOverlay className={styles.overlay ?? ''} isOpen={isOpen} onOpenChange={onOpenChange} isDismissable>
      <Modal className={styles.modal ?? ''}>
        <AriaDialog ref={kept} className={styles.sheet ?? ''}>
          <header className={styles.header}>
            <IconButton label="Close" className={styles.close} onPress={() => onOpenChange(false)}>
              <span className={styles.back}>
                <BackIcon />
              </span>
              <span className={styles.cross}>
                <CloseIcon />
              </span>
            </IconButton>
            <Heading slot="title" level={2} className={styles.title}>
              {title}
            </Heading>
          </header>
          <div className={styles.body}>{children}</div>
        </AriaDialog>
      </Modal>
    </ModalOverlay>
  );
}

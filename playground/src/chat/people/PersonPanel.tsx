import { Sheet } from '../ui';
import { PersonDetails } from './PersonDetails';

export interface PersonPanelProps {
  /** `user_…` */
  id: string;
  isOpen: boolean;
  onOpenChange(isOpen: boolean): void;
}

/** Somebody, at the side of what is shown. */
export const PersonPanel = ({ id, isOpen, onOpenChange }: PersonPanelProps) => (
  <Sheet title="Person" isOpen={isOpen} onOpenChange={onOpenChange}>
    <PersonDetails userId={id} onClose={() => onOpenChange(false)} />
  </Sheet>
);

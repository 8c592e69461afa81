import { Sheet } from '../ui';
import { GroupDetails } from './GroupDetails';

export interface GroupPanelProps {
  /** `conv_…` of the group. */
  id: string;
  isOpen: boolean;
  onOpenChange(isOpen: boolean): void;
}

/** A group, at the side of what is shown. */
export const GroupPanel = ({ id, isOpen, onOpenChange }: GroupPanelProps) => (
  <Sheet title="Group" isOpen={isOpen} onOpenChange={onOpenChange}>
    <GroupDetails groupId={id} onClose={() => onOpenChange(false)} />
  </Sheet>
);

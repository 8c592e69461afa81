import { graphql } from '../../gql';

graphql(`
  fragment GroupItem on Group {
    id
    name
    description
    memberCount
    viewerRole
    viewerCanSend
    createdAt
  }
`);

graphql(`
  fragment LinkItem on InviteLink {
    id
    createdAt
    expiresAt
    maxUses
    uses
    createdBy {
      id
      displayName
    }
  }
`);

export const GROUP = graphql(`
  query Group($id: ID!) {
    conversation(id: $id) {
      __typename
      id
      ... on Group {
        ...GroupItem
      }
    }
  }
`);

export const GROUP_MEMBERS = graphql(`
  query GroupMembers($id: ID!, $after: String) {
    conversation(id: $id) {
      id
      members(first: 50, after: $after) {
        totalCount
        edges {
          ...MemberItem
        }
        pageInfo {
          hasNextPage
          endCursor
        }
      }
    }
  }
`);

export const INVITE_LINKS = graphql(`
  query InviteLinks($id: ID!) {
    conversation(id: $id) {
      __typename
      id
      ... on Group {
        inviteLinks {
          ...LinkItem
        }
      }
    }
  }
`);

export const CREATE_GROUP = graphql(`
  mutation CreateGroup($input: CreateGroupInput!) {
    createGroup(input: $input) {
      group {
        ...GroupItem
      }
      userErrors {
        code
        message
        field
      }
    }
  }
`);

export const UPDATE_GROUP = graphql(`
  mutation UpdateGroup($input: UpdateGroupInput!) {
    updateGroup(input: $input) {
      group {
        ...GroupItem
      }
      userErrors {
        code
        message
        field
      }
    }
  }
`);

export const DELETE_GROUP = graphql(`
  mutation DeleteGroup($input: GroupActionInput!) {
    deleteGroup(input: $input) {
      groupId
      userErrors {
        code
        message
        field
      }
    }
  }
`);

export const LEAVE_GROUP = graphql(`
  mutation LeaveGroup($input: GroupActionInput!) {
    leaveGroup(input: $input) {
      userErrors {
        code
        message
        field
      }
    }
  }
`);

export const CHANGE_MEMBER_ROLE = graphql(`
  mutation ChangeMemberRole($input: ChangeMemberRoleInput!) {
    changeMemberRole(input: $input) {
      group {
        ...GroupItem
      }
      userErrors {
        code
        message
        field
      }
    }
  }
`);

export const REMOVE_MEMBER = graphql(`
  mutation RemoveMember($input: MemberActionInput!) {
    removeMember(input: $input) {
      group {
        ...GroupItem
      }
      userErrors {
        code
        message
        field
      }
    }
  }
`);

export const TRANSFER_OWNERSHIP = graphql(`
  mutation TransferOwnership($input: MemberActionInput!) {
    transferOwnership(input: $input) {
      group {
        ...GroupItem
      }
      userErrors {
        code
        message
        field
      }
    }
  }
`);

export const CREATE_INVITE_LINK = graphql(`
  mutation CreateInviteLink($input: CreateInviteLinkInput!) {
    createInviteLink(input: $input) {
      inviteLink {
        ...LinkItem
        code
      }
      userErrors {
        code
        message
        field
      }
    }
  }
`);

export const REVOKE_INVITE_LINK = graphql(`
  mutation RevokeInviteLink($input: InviteLinkActionInput!) {
    revokeInviteLink(input: $input) {
      inviteLink {
        id
      }
      userErrors {
        code
        message
        field
      }
    }
  }
`);

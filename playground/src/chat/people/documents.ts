// What the pages of people and groups ask and change.
import { graphql } from '../../gql';

graphql(`
  fragment Person on User {
    ...UserItem
    createdAt
    conversation {
      id
      viewerCanSend
    }
  }
`);

graphql(`
  fragment Waiting on Invite {
    id
    kind
    status
    note
    email
    createdAt
    expiresAt
    respondedAt
    inviter {
      ...UserItem
    }
    invitee {
      ...UserItem
    }
    group {
      id
      name
      description
      memberCount
    }
  }
`);

export const FRIENDS = graphql(`
  query Friends($after: String) {
    viewer {
      id
      friends(first: 50, after: $after) {
        totalCount
        edges {
          since
          node {
            ...Person
          }
        }
        pageInfo {
          hasNextPage
          endCursor
        }
      }
    }
  }
`);

export const BLOCKED = graphql(`
  query Blocked($after: String) {
    viewer {
      id
      blockedUsers(first: 50, after: $after) {
        edges {
          node {
            ...Person
          }
        }
        pageInfo {
          hasNextPage
          endCursor
        }
      }
    }
  }
`);

export const INVITES = graphql(`
  query Invites($direction: InviteDirection!, $kind: InviteKind, $status: InviteStatus, $after: String) {
    viewer {
      id
      invites(direction: $direction, kind: $kind, status: $status, first: 25, after: $after) {
        totalCount
        edges {
          node {
            ...Waiting
          }
        }
        pageInfo {
          hasNextPage
          endCursor
        }
      }
    }
  }
`);

export const PERSON = graphql(`
  query Person($id: ID!) {
    node(id: $id) {
      __typename
      id
      ... on User {
        ...Person
      }
    }
  }
`);

export const SEARCH_PEOPLE = graphql(`
  query SearchPeople($query: String!, $after: String) {
    searchUsers(query: $query, first: 25, after: $after) {
      edges {
        node {
          ...Person
        }
      }
      pageInfo {
        hasNextPage
        endCursor
      }
    }
    exact: user(username: $query) {
      ...Person
    }
  }
`);

export const SEND_INVITE = graphql(`
  mutation SendInvite($input: SendInviteInput!) {
    sendInvite(input: $input) {
      invite {
        ...Waiting
      }
      conversation {
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

export const ACCEPT_INVITE = graphql(`
  mutation AcceptInvite($input: InviteActionInput!) {
    acceptInvite(input: $input) {
      invite {
        ...Waiting
      }
      conversation {
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

export const REJECT_INVITE = graphql(`
  mutation RejectInvite($input: InviteActionInput!) {
    rejectInvite(input: $input) {
      invite {
        ...Waiting
      }
      userErrors {
        code
        message
        field
      }
    }
  }
`);

export const REVOKE_INVITE = graphql(`
  mutation RevokeInvite($input: InviteActionInput!) {
    revokeInvite(input: $input) {
      invite {
        ...Waiting
      }
      userErrors {
        code
        message
        field
      }
    }
  }
`);

export const REMOVE_FRIEND = graphql(`
  mutation RemoveFriend($input: UserActionInput!) {
    removeFriend(input: $input) {
      user {
        ...Person
      }
      userErrors {
        code
        message
        field
      }
    }
  }
`);

export const BLOCK_USER = graphql(`
  mutation BlockUser($input: UserActionInput!) {
    blockUser(input: $input) {
      user {
        ...Person
      }
      userErrors {
        code
        message
        field
      }
    }
  }
`);

export const UNBLOCK_USER = graphql(`
  mutation UnblockUser($input: UserActionInput!) {
    unblockUser(input: $input) {
      user {
        ...Person
      }
      userErrors {
        code
        message
        field
      }
    }
  }
`);

metadata description = 'What the pre-flight checks ask the subscription: GPU sizes, quotas, regions and resource providers.'

targetScope = 'subscription'

@description('Object id of the app\'s identity.')
param appPrincipalId string

var subscriptionId = subscription().id

// A role's name must be unique in the tenant, its id in the subscription; all environments of a subscription share it.
resource quotaReader 'Microsoft.Authorization/roleDefinitions@2022-04-01' = {
  name: guid(subscriptionId, 'LabelLoop quota reader')
  properties: {
    roleName: 'LabelLoop quota reader (${subscription().subscriptionId})'
    description: 'Reads GPU sizes, quotas, regions and resource providers.'
    type: 'CustomRole'
    permissions: [
      {
        actions: [
          'Microsoft.MachineLearningServices/locations/*/read'
          'Microsoft.Resources/subscriptions/read'
          'Microsoft.Resources/subscriptions/locations/read'
          'Microsoft.Resources/subscriptions/providers/read'
          'Microsoft.Resources/providers/read'
        ]
        notActions: []
        dataActions: []
        notDataActions: []
      }
    ]
    assignableScopes: [
      subscriptionId
    ]
  }
}

resource appQuotaRole 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(subscriptionId, appPrincipalId, 'LabelLoop quota reader')
  properties: {
    roleDefinitionId: quotaReader.id
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
  }
}

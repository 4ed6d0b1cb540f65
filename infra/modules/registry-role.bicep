metadata description = 'The cluster pulls its images from a registry of your own.'

@description('Name of the registry.')
param registryName string

@description('Object id of the cluster\'s identity.')
param clusterPrincipalId string

var acrPull = '7f951dda-4ed3-4680-a7ca-43fe172d538d'

resource registry 'Microsoft.ContainerRegistry/registries@2023-07-01' existing = {
  name: registryName
}

resource clusterRegistryRole 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: registry
  name: guid(registry.id, clusterPrincipalId, acrPull)
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', acrPull)
    principalId: clusterPrincipalId
    principalType: 'ServicePrincipal'
  }
}

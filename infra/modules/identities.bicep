metadata description = 'The identities of the app and of the cluster.'

@description('Region.')
param location string

@description('Tags of all resources.')
param tags object

@description('Name of the app\'s identity.')
param appIdentityName string

@description('Name of the cluster\'s identity.')
param clusterIdentityName string

resource appIdentity 'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31' = {
  name: appIdentityName
  location: location
  tags: tags
}

resource clusterIdentity 'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31' = {
  name: clusterIdentityName
  location: location
  tags: tags
}

output appIdentityId string = appIdentity.id
output appClientId string = appIdentity.properties.clientId
output appPrincipalId string = appIdentity.properties.principalId
output clusterIdentityId string = clusterIdentity.id
output clusterIdentityName string = clusterIdentity.name
output clusterPrincipalId string = clusterIdentity.properties.principalId

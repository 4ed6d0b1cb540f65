metadata description = 'Who may do what in the resource group. Ids: https://learn.microsoft.com/azure/role-based-access-control/built-in-roles'

@description('Name of the host\'s storage account.')
param hostAccountName string

@description('Name of the data account.')
param dataAccountName string

@description('Name of Application Insights.')
param applicationInsightsName string

@description('Name of the topic for announcements.')
param announcementsTopicName string

@description('Name of the function app.')
param appName string

@description('Whether the app makes and changes Azure resources.')
param mayProvision bool

@description('Whether the workspace is made by Bicep; else the app makes it, for which it gets wider rights.')
param hasWorkspace bool

@description('Whether the data account\'s topic is made by Bicep; else the app makes it, and gives it its role.')
param hasStorageTopic bool

@description('Name of the workspace.')
param workspaceName string

@description('Name of the cluster\'s identity.')
param clusterIdentityName string

@description('Whether the nodes are in a virtual network.')
param hasNetwork bool

@description('Name of the virtual network.')
param networkName string

@description('Object id of the app\'s identity.')
param appPrincipalId string

@description('Object id of the cluster\'s identity.')
param clusterPrincipalId string

@description('Object id of the identity of the data account\'s topic; empty when the app makes it.')
param storageTopicPrincipalId string

@description('Object id of the identity of the workspace\'s topic; empty when the app makes it.')
param workspaceTopicPrincipalId string

var blobDataOwner = 'b7e6dc6d-f1e8-4753-8033-0f276bb0955b'
var blobDataContributor = 'ba92f5b4-2d11-453d-a403-e96b0029c9fe'
var queueDataContributor = '974c5e8b-45b9-4653-ba55-5f855dd0fb88'
var tableDataContributor = '0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3'
var metricsPublisher = '3913510d-42f4-4e42-8a64-420c390055eb'
var eventGridDataSender = 'd5a91429-5739-47e2-a06b-3470a27159e7'
var websiteContributor = 'de139f84-1756-47ae-9be6-808fbbe84772'
var reader = 'acdd72a7-3385-48ef-bd42-f606fba81ae7'
var eventGridContributor = '1e241071-0855-49ea-94dc-649edcd759de'
var contributor = 'b24988ac-6180-42a0-ab88-20f7382dd24c'
var accessAdministrator = 'f58310d9-a9f6-439a-9e8d-f62e7b41a168'
var dataScientist = 'f6c7c914-8db3-469d-8ca1-694a8f32e121'
var computeOperator = 'e503ece1-11d0-4e8e-8e2c-7a6c3bf38815'
var identityOperator = 'f1a07417-d97a-45cb-824c-7a7467783830'
var networkContributor = '4d97b98b-1d4f-4787-a291-c67834d212e7'
var registryPull = '7f951dda-4ed3-4680-a7ca-43fe172d538d'

var appOnHostAccount = [
  blobDataOwner
  queueDataContributor
  tableDataContributor
]
var appOnDataAccount = [
  blobDataOwner
  queueDataContributor
  tableDataContributor
]
var appOnGroup = concat([
  reader
], mayProvision ? [
  eventGridContributor
] : [], mayProvision && !hasWorkspace ? [
  contributor
] : [], mayProvision || hasWorkspace ? [] : [
  dataScientist
])
var appOnWorkspace = hasWorkspace ? concat([
  dataScientist
], mayProvision ? [
  computeOperator
] : []) : []
var mayGiveRoles = mayProvision && (!hasWorkspace || !hasStorageTopic)

// A parallel job keeps its state in a queue and a table:
// https://learn.microsoft.com/azure/machine-learning/how-to-disable-local-auth-storage
var clusterOnDataAccount = [
  blobDataContributor
  queueDataContributor
  tableDataContributor
]

// The app may give these roles, to managed identities alone, and take them away:
// https://learn.microsoft.com/azure/role-based-access-control/delegate-role-assignments-examples
var mayGive = '{${blobDataContributor}, ${queueDataContributor}, ${tableDataContributor}, ${dataScientist}, ${registryPull}}'
var givingCondition = '((!(ActionMatches{\'Microsoft.Authorization/roleAssignments/write\'})) OR (@Request[Microsoft.Authorization/roleAssignments:RoleDefinitionId] ForAnyOfAnyValues:GuidEquals ${mayGive} AND @Request[Microsoft.Authorization/roleAssignments:PrincipalType] ForAnyOfAnyValues:StringEqualsIgnoreCase {\'ServicePrincipal\'})) AND ((!(ActionMatches{\'Microsoft.Authorization/roleAssignments/delete\'})) OR (@Resource[Microsoft.Authorization/roleAssignments:RoleDefinitionId] ForAnyOfAnyValues:GuidEquals ${mayGive} AND @Resource[Microsoft.Authorization/roleAssignments:PrincipalType] ForAnyOfAnyValues:StringEqualsIgnoreCase {\'ServicePrincipal\'}))'

resource hostAccount 'Microsoft.Storage/storageAccounts@2024-01-01' existing = {
  name: hostAccountName
}

resource dataAccount 'Microsoft.Storage/storageAccounts@2024-01-01' existing = {
  name: dataAccountName
}

resource applicationInsights 'Microsoft.Insights/components@2020-02-02' existing = {
  name: applicationInsightsName
}

resource announcements 'Microsoft.EventGrid/topics@2025-02-15' existing = {
  name: announcementsTopicName
}

resource app 'Microsoft.Web/sites@2024-04-01' existing = {
  name: appName
}

resource workspace 'Microsoft.MachineLearningServices/workspaces@2025-12-01' existing = {
  name: workspaceName
}

resource clusterIdentity 'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31' existing = {
  name: clusterIdentityName
}

resource network 'Microsoft.Network/virtualNetworks@2024-05-01' existing = {
  name: networkName
}

resource clusterSubnet 'Microsoft.Network/virtualNetworks/subnets@2024-05-01' existing = {
  parent: network
  name: 'cluster'
}

resource appHostAccountRoles 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for role in appOnHostAccount: {
  scope: hostAccount
  name: guid(hostAccount.id, appPrincipalId, role)
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', role)
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
  }
}]

resource appDataAccountRoles 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for role in appOnDataAccount: {
  scope: dataAccount
  name: guid(dataAccount.id, appPrincipalId, role)
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', role)
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
  }
}]

resource appInsightsRole 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: applicationInsights
  name: guid(applicationInsights.id, appPrincipalId, metricsPublisher)
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', metricsPublisher)
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
  }
}

resource appTopicRole 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: announcements
  name: guid(announcements.id, appPrincipalId, eventGridDataSender)
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', eventGridDataSender)
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
  }
}

// For host/default/listKeys: the blob trigger's event subscription wants the key blobs_extension.
resource appItselfRole 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (mayProvision) {
  scope: app
  name: guid(app.id, appPrincipalId, websiteContributor)
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', websiteContributor)
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
  }
}

resource appGroupRoles 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for role in appOnGroup: {
  name: guid(resourceGroup().id, appPrincipalId, role)
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', role)
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
  }
}]

resource appGivingRole 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (mayGiveRoles) {
  name: guid(resourceGroup().id, appPrincipalId, accessAdministrator)
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', accessAdministrator)
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
    condition: givingCondition
    conditionVersion: '2.0'
  }
}

resource appWorkspaceRoles 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for role in appOnWorkspace: {
  scope: workspace
  name: guid(workspace.id, appPrincipalId, role)
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', role)
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
  }
}]

resource appClusterIdentityRole 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (mayProvision && hasWorkspace) {
  scope: clusterIdentity
  name: guid(clusterIdentity.id, appPrincipalId, identityOperator)
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', identityOperator)
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
  }
}

// A cluster is put into its subnet by whoever makes or changes it.
resource appSubnetRole 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (mayProvision && hasWorkspace && hasNetwork) {
  scope: clusterSubnet
  name: guid(clusterSubnet.id, appPrincipalId, networkContributor)
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', networkContributor)
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
  }
}

resource clusterDataAccountRoles 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for role in clusterOnDataAccount: {
  scope: dataAccount
  name: guid(dataAccount.id, clusterPrincipalId, role)
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', role)
    principalId: clusterPrincipalId
    principalType: 'ServicePrincipal'
  }
}]

resource clusterWorkspaceRole 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (hasWorkspace) {
  scope: workspace
  name: guid(workspace.id, clusterPrincipalId, dataScientist)
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', dataScientist)
    principalId: clusterPrincipalId
    principalType: 'ServicePrincipal'
  }
}

// A workspace that others have made: its name is known, but not that it is there.
resource clusterGroupRole 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!mayProvision && !hasWorkspace) {
  name: guid(resourceGroup().id, clusterPrincipalId, dataScientist)
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', dataScientist)
    principalId: clusterPrincipalId
    principalType: 'ServicePrincipal'
  }
}

resource storageTopicRole 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (hasStorageTopic) {
  scope: dataAccount
  name: guid(dataAccount.id, storageTopicPrincipalId, blobDataContributor)
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', blobDataContributor)
    principalId: storageTopicPrincipalId
    principalType: 'ServicePrincipal'
  }
}

resource workspaceTopicRole 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (hasWorkspace) {
  scope: dataAccount
  name: guid(dataAccount.id, workspaceTopicPrincipalId, blobDataContributor)
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', blobDataContributor)
    principalId: workspaceTopicPrincipalId
    principalType: 'ServicePrincipal'
  }
}

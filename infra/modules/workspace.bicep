metadata description = 'The Azure Machine Learning workspace with its datastores, the topic of its events and, if wanted, its GPU cluster.'

@description('Region of the workspace.')
param location string

@description('Tags of all resources.')
param tags object

@description('Name of the workspace.')
@minLength(3)
@maxLength(33)
param name string

@description('Name of the workspace\'s system topic.')
@minLength(3)
@maxLength(50)
param topicName string

@description('Resource id of the data account: label exports land in the workspace\'s own account.')
param dataAccountId string

@description('Name of the data account.')
param dataAccountName string

@description('Containers of the data account that get a datastore.')
param dataContainers array

@description('Resource id of the key vault.')
param keyVaultId string

@description('Resource id of Application Insights.')
param applicationInsightsId string

@description('Resource id of the container registry; empty: Azure ML makes one with the first image.')
param containerRegistryId string

@description('Whether the workspace\'s containers bear its id. It can\'t be changed later.')
param dataIsolation bool

@description('Whether only private endpoints reach the workspace.')
param isPrivate bool

@description('Whether the cluster is made; else the app makes it.')
param makesCluster bool

@description('Name of the cluster.')
@minLength(3)
@maxLength(24)
param computeName string

@description('Region of the cluster.')
param computeLocation string

@description('VM size of its nodes.')
param computeSize string

@description('Whether its nodes may be taken away.')
@allowed([
  'Dedicated'
  'LowPriority'
])
param computePriority string

@description('Its least number of nodes.')
@minValue(0)
param computeMinNodes int

@description('Its greatest number of nodes.')
@minValue(1)
param computeMaxNodes int

@description('Idle time before a node is given back (s).')
@minValue(60)
param computeIdleSeconds int

@description('Resource id of the cluster\'s identity.')
param computeIdentityId string

@description('Resource id of the nodes\' subnet; empty for none. In a subnet they have no public address.')
param computeSubnetId string

resource workspace 'Microsoft.MachineLearningServices/workspaces@2025-12-01' = {
  name: name
  location: location
  tags: tags
  kind: 'Default'
  sku: {
    name: 'Basic'
    tier: 'Basic'
  }
  identity: {
    type: 'SystemAssigned'
  }
  properties: {
    friendlyName: name
    storageAccount: dataAccountId
    keyVault: keyVaultId
    applicationInsights: applicationInsightsId
    containerRegistry: empty(containerRegistryId) ? null : containerRegistryId
    // The account's keys are off: https://learn.microsoft.com/azure/machine-learning/how-to-disable-local-auth-storage
    systemDatastoresAuthMode: 'Identity'
    enableDataIsolation: dataIsolation
    publicNetworkAccess: isPrivate ? 'Disabled' : 'Enabled'
    v1LegacyMode: false
  }
}

resource cluster 'Microsoft.MachineLearningServices/workspaces/computes@2025-12-01' = if (makesCluster) {
  parent: workspace
  name: computeName
  location: computeLocation
  tags: tags
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${computeIdentityId}': {}
    }
  }
  properties: {
    computeType: 'AmlCompute'
    computeLocation: computeLocation
    disableLocalAuth: true
    properties: {
      osType: 'Linux'
      vmSize: computeSize
      vmPriority: computePriority
      scaleSettings: {
        minNodeCount: computeMinNodes
        maxNodeCount: computeMaxNodes
        nodeIdleTimeBeforeScaleDown: 'PT${computeIdleSeconds}S'
      }
      remoteLoginPortPublicAccess: 'Disabled'
      enableNodePublicIp: empty(computeSubnetId)
      subnet: empty(computeSubnetId) ? null : {
        id: computeSubnetId
      }
    }
  }
}

// Without credentials: whoever reads has an identity. A datastore's name takes no hyphens.
resource datastores 'Microsoft.MachineLearningServices/workspaces/datastores@2025-12-01' = [for container in dataContainers: {
  parent: workspace
  name: replace(container, '-', '_')
  properties: {
    datastoreType: 'AzureBlob'
    description: 'LabelLoop'
    tags: tags
    accountName: dataAccountName
    containerName: container
    endpoint: environment().suffixes.storage
    protocol: 'https'
    credentials: {
      credentialsType: 'None'
    }
  }
}]

resource topic 'Microsoft.EventGrid/systemTopics@2025-02-15' = {
  name: topicName
  location: location
  tags: tags
  identity: {
    type: 'SystemAssigned'
  }
  properties: {
    source: workspace.id
    topicType: 'Microsoft.MachineLearningServices.Workspaces'
  }
}

output id string = workspace.id
output topicPrincipalId string = topic.identity.principalId

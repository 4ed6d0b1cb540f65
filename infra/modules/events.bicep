metadata description = 'The topic for LabelLoop\'s announcements, and the topic of what happens in the data account.'

@description('Region.')
param location string

@description('Tags of all resources.')
param tags object

@description('Name of the custom topic.')
@minLength(3)
@maxLength(50)
param announcementsTopicName string

@description('Whether the data account\'s system topic is made. An account has at most one, so one that is not ours may have it already, whatever its name.')
param makesStorageTopic bool

@description('Name of the data account\'s system topic.')
@minLength(3)
@maxLength(50)
param storageTopicName string

@description('Resource id of the data account.')
param dataAccountId string

resource announcements 'Microsoft.EventGrid/topics@2025-02-15' = {
  name: announcementsTopicName
  location: location
  tags: tags
  properties: {
    inputSchema: 'CloudEventSchemaV1_0'
    disableLocalAuth: true
    minimumTlsVersionAllowed: '1.2'
    publicNetworkAccess: 'Enabled'
  }
}

resource storageTopic 'Microsoft.EventGrid/systemTopics@2025-02-15' = if (makesStorageTopic) {
  name: storageTopicName
  location: location
  tags: tags
  // It writes dead letters; only a system-assigned identity passes a storage firewall:
  // https://learn.microsoft.com/azure/event-grid/managed-service-identity
  identity: {
    type: 'SystemAssigned'
  }
  properties: {
    source: dataAccountId
    topicType: 'Microsoft.Storage.StorageAccounts'
  }
}

output announcementsTopicName string = announcements.name
output announcementsEndpoint string = announcements.properties.endpoint
output storageTopicPrincipalId string = makesStorageTopic ? storageTopic.identity.principalId : ''

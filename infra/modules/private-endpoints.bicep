metadata description = 'The private endpoints of storage, key vault and workspace.'

@description('Region.')
param location string

@description('Tags of all resources.')
param tags object

@description('What the endpoints\' names end in.')
param token string

@description('Resource id of the endpoints\' subnet.')
param subnetId string

@description('DNS zones: resource ids by sub-resource.')
param zoneIds object

@description('Resource id of the host\'s storage account.')
param hostAccountId string

@description('Resource id of the data account.')
param dataAccountId string

@description('Resource id of the key vault.')
param keyVaultId string

@description('Resource id of the workspace; empty for none.')
param workspaceId string

// Azure ML also wants the file service of the workspace's account:
// https://learn.microsoft.com/azure/machine-learning/how-to-secure-workspace-vnet
var always = [
  {
    name: 'host-blob'
    targetId: hostAccountId
    groupId: 'blob'
    zoneIds: [
      zoneIds.blob
    ]
  }
  {
    name: 'host-queue'
    targetId: hostAccountId
    groupId: 'queue'
    zoneIds: [
      zoneIds.queue
    ]
  }
  {
    name: 'host-table'
    targetId: hostAccountId
    groupId: 'table'
    zoneIds: [
      zoneIds.table
    ]
  }
  {
    name: 'data-blob'
    targetId: dataAccountId
    groupId: 'blob'
    zoneIds: [
      zoneIds.blob
    ]
  }
  {
    name: 'data-queue'
    targetId: dataAccountId
    groupId: 'queue'
    zoneIds: [
      zoneIds.queue
    ]
  }
  {
    name: 'data-table'
    targetId: dataAccountId
    groupId: 'table'
    zoneIds: [
      zoneIds.table
    ]
  }
  {
    name: 'data-file'
    targetId: dataAccountId
    groupId: 'file'
    zoneIds: [
      zoneIds.file
    ]
  }
  {
    name: 'key-vault'
    targetId: keyVaultId
    groupId: 'vault'
    zoneIds: [
      zoneIds.vault
    ]
  }
]
var wanted = concat(always, empty(workspaceId) ? [] : [
  {
    name: 'workspace'
    targetId: workspaceId
    groupId: 'amlworkspace'
    zoneIds: [
      zoneIds.workspace
      zoneIds.notebooks
    ]
  }
])

resource endpoints 'Microsoft.Network/privateEndpoints@2024-05-01' = [for each in wanted: {
  name: 'pe-${each.name}-${token}'
  location: location
  tags: tags
  properties: {
    subnet: {
      id: subnetId
    }
    privateLinkServiceConnections: [
      {
        name: each.name
        properties: {
          privateLinkServiceId: each.targetId
          groupIds: [
            each.groupId
          ]
        }
      }
    ]
  }
}]

resource names 'Microsoft.Network/privateEndpoints/privateDnsZoneGroups@2024-05-01' = [for (each, index) in wanted: {
  parent: endpoints[index]
  name: 'default'
  properties: {
    privateDnsZoneConfigs: map(range(0, length(each.zoneIds)), i => {
      name: 'zone${i}'
      properties: {
        privateDnsZoneId: each.zoneIds[i]
      }
    })
  }
}]

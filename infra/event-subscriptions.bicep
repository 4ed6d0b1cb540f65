metadata description = 'The event subscriptions that feed the app, for platform teams that set PROVISIONING to disabled. Deploy them into the app\'s resource group when the code is there: Event Grid asks the app, and the app makes the key blobs_extension at its first start.'

@description('Name of the function app.')
@minLength(2)
@maxLength(60)
param functionAppName string

@description('Name of the data account.')
@minLength(3)
@maxLength(24)
param dataAccountName string

@description('Name of the Azure Machine Learning workspace.')
@minLength(3)
@maxLength(33)
param workspaceName string

@description('Name of the data account\'s system topic.')
@minLength(3)
@maxLength(50)
param storageTopicName string = 'labelloop-${dataAccountName}'

@description('Name of the workspace\'s system topic.')
@minLength(3)
@maxLength(50)
param workspaceTopicName string = take('labelloop-${replace(workspaceName, '_', '-')}', 50)

@description('Whether the workspace was made with WORKSPACE_DATA_ISOLATION.')
param workspaceDataIsolation bool = false

@description('IMAGES_CONTAINER of the app.')
@minLength(3)
@maxLength(63)
param imagesContainer string = 'images'

@description('MAX_IMAGE_MEGABYTES of the app.')
@minValue(1)
@maxValue(1000)
param maxImageMegabytes int = 100

// Azure ML's names for the container of its default datastore:
// https://learn.microsoft.com/azure/machine-learning/concept-data-isolation
var workspaceId = workspace.properties.workspaceId
var exportsContainer = workspaceDataIsolation ? '${workspaceId}-azureml-blobstore' : 'azureml-blobstore-${workspaceId}'
var containersPrefix = '/blobServices/default/containers'
var imagesPrefix = '${containersPrefix}/${imagesContainer}/blobs/'
var maxImageBytes = maxImageMegabytes * 1000000
var completeWrites = {
  operatorType: 'StringIn'
  key: 'data.api'
  values: [
    'PutBlob'
    'PutBlockList'
    'CopyBlob'
    'FlushWithClose'
  ]
}
var retryPolicy = {
  maxDeliveryAttempts: 30
  eventTimeToLiveInMinutes: 1440
}
// The account has no keys, and only a system-assigned identity passes its firewall.
var deadLetters = {
  identity: {
    type: 'SystemAssigned'
  }
  deadLetterDestination: {
    endpointType: 'StorageBlob'
    properties: {
      resourceId: dataAccount.id
      blobContainerName: 'dead-letters'
    }
  }
}
var blobsKey = listKeys('${app.id}/host/default', '2024-04-01').systemKeys.blobs_extension

resource app 'Microsoft.Web/sites@2024-04-01' existing = {
  name: functionAppName
}

resource dataAccount 'Microsoft.Storage/storageAccounts@2024-01-01' existing = {
  name: dataAccountName
}

resource workspace 'Microsoft.MachineLearningServices/workspaces@2025-12-01' existing = {
  name: workspaceName
}

resource storageTopic 'Microsoft.EventGrid/systemTopics@2025-02-15' existing = {
  name: storageTopicName
}

resource workspaceTopic 'Microsoft.EventGrid/systemTopics@2025-02-15' existing = {
  name: workspaceTopicName
}

resource labelExports 'Microsoft.EventGrid/systemTopics/eventSubscriptions@2025-02-15' = {
  parent: storageTopic
  name: 'labelloop-label-exports'
  properties: {
    destination: {
      endpointType: 'AzureFunction'
      properties: {
        resourceId: '${app.id}/functions/label_export_landed'
      }
    }
    filter: {
      includedEventTypes: [
        'Microsoft.Storage.BlobCreated'
      ]
      subjectBeginsWith: '${containersPrefix}/${exportsContainer}/blobs/Labeling/export/'
      advancedFilters: [
        completeWrites
      ]
    }
    eventDeliverySchema: 'EventGridSchema'
    retryPolicy: retryPolicy
    deadLetterWithResourceIdentity: deadLetters
  }
}

resource images 'Microsoft.EventGrid/systemTopics/eventSubscriptions@2025-02-15' = {
  parent: storageTopic
  name: 'labelloop-images'
  properties: {
    destination: {
      endpointType: 'WebHook'
      properties: {
        // https://learn.microsoft.com/azure/azure-functions/functions-event-grid-blob-trigger
        endpointUrl: 'https://${app.properties.defaultHostName}/runtime/webhooks/blobs?functionName=Host.Functions.image_landed&code=${uriComponent(blobsKey)}'
      }
    }
    filter: {
      includedEventTypes: [
        'Microsoft.Storage.BlobCreated'
      ]
      subjectBeginsWith: imagesPrefix
      advancedFilters: [
        completeWrites
        {
          operatorType: 'NumberLessThanOrEquals'
          key: 'data.contentLength'
          value: maxImageBytes
        }
      ]
    }
    eventDeliverySchema: 'EventGridSchema'
    retryPolicy: retryPolicy
    deadLetterWithResourceIdentity: deadLetters
  }
}

resource imagesTooLarge 'Microsoft.EventGrid/systemTopics/eventSubscriptions@2025-02-15' = {
  parent: storageTopic
  name: 'labelloop-images-too-large'
  properties: {
    destination: {
      endpointType: 'AzureFunction'
      properties: {
        resourceId: '${app.id}/functions/image_too_large'
      }
    }
    filter: {
      includedEventTypes: [
        'Microsoft.Storage.BlobCreated'
      ]
      subjectBeginsWith: imagesPrefix
      advancedFilters: [
        completeWrites
        {
          operatorType: 'NumberGreaterThan'
          key: 'data.contentLength'
          value: maxImageBytes
        }
      ]
    }
    eventDeliverySchema: 'EventGridSchema'
    retryPolicy: retryPolicy
    deadLetterWithResourceIdentity: deadLetters
  }
}

resource jobEvents 'Microsoft.EventGrid/systemTopics/eventSubscriptions@2025-02-15' = {
  parent: workspaceTopic
  name: 'labelloop-job-events'
  properties: {
    destination: {
      endpointType: 'AzureFunction'
      properties: {
        resourceId: '${app.id}/functions/job_changed'
      }
    }
    filter: {
      includedEventTypes: [
        'Microsoft.MachineLearningServices.RunCompleted'
        'Microsoft.MachineLearningServices.RunStatusChanged'
      ]
    }
    eventDeliverySchema: 'EventGridSchema'
    retryPolicy: retryPolicy
    deadLetterWithResourceIdentity: deadLetters
  }
}
